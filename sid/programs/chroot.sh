# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# A program, and a shell that starts it, in a root of their own with no more than their libraries.
mkdir -p root/bin
for program in /bin/sh "$(command -v plain)"; do
    cp -L "$program" root/bin
    for library in $(env -u LD_PRELOAD ldd "$program" | grep -o '/[^ ]*'); do
        cp -L --parents "$library" root
    done
done
chroot root /bin/sh -c '/bin/plain; echo $?; exec /bin/plain'
echo $?
rm -r root
