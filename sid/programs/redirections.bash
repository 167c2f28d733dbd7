# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Bash: here strings, process substitution, descriptors that it chooses, a coprocess, and traps.
exec 3<<<abc 4>o
cat <&3 >&4
exec 4>&-
cat o
diff <(seq 1 2000) <(seq 1 2000 | sed '$d') | head -5
echo "${PIPESTATUS[@]}"
seq 100 | tee >(wc -l >lines) >(sort -n | tail -1 >last) >/dev/null
for ((i = 0; i < 100; i++)); do [[ -s lines && -s last ]] && break; sleep 0.05; done
cat lines last
exec {mine}<o
echo "$mine"
read -r -u "$mine" line && echo "$line"
coproc { while read -r word; do echo "<$word>"; done; }
copy=$COPROC_PID
for ((i = 0; i < 30000; i++)); do :; done
echo one >&"${COPROC[1]}"
read -r -u "${COPROC[0]}" answer && echo "$answer"
eval "exec ${COPROC[1]}>&-"
wait "$copy"
echo "$?"
trap 'echo "trapped TRAP"' TRAP
trap 'echo "trapped PROF"' PROF
for ((i = 0; i < 30000; i++)); do :; done
kill -TRAP $$
kill -PROF $$
trap -p
trap '' TRAP PROF
bash -c 'for ((i = 0; i < 30000; i++)); do :; done; kill -TRAP $$; kill -PROF $$; echo "alive"; trap -p'
trap - TRAP PROF
{ bash -c 'kill -TRAP $$'; } 2>/dev/null
echo "$?"
yes | head -1
echo "${PIPESTATUS[@]}"
