# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# A script that has descriptors 3 to 9 for its own.
printf 'alpha\nbravo\ncharlie\ndelta\n' >list
exec 3<list 4>four 5>&4 6<list 7>>seven 8<&6 9>nine
sleep 0.1
i=0
while [ $i -lt 20000 ]; do i=$((i + 1)); done
while read -r line <&3; do echo "3: $line"; done
read -r line <&6 && echo "6: $line"
read -r line <&8 && echo "8: $line"
echo four >&4 && echo five >&5 && echo seven >&7 && echo nine >&9
(echo 'from a subshell' >&4) || echo 'a subshell could not write to 4'
sh -c 'echo "from a program" >&9; cat <&3; echo "$?"' || echo 'a program could not'
exec 3<&- 4>&- 5>&-
exec 3>three
echo three >&3
cat <<END
here: $(cat four seven nine three)
END
for fd in 3 4 5 6 7 8 9; do
    if (: >&$fd) 2>/dev/null; then echo "$fd is open"; else echo "$fd is closed"; fi
done
