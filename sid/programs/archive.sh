# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# tar, gzip and xz with two threads, through pipes.
mkdir tree
for i in 1 2 3 4 5 6; do seq 1 "${i}0000" >"tree/$i"; done
ln -s 1 tree/link
tar --sort=name --mtime=@0 --owner=0 --group=0 --mode=644 -cf - tree | gzip -n >tree.tar.gz
xz -0 -T2 --block-size=131072 -k tree/6
xz -dc -T2 tree/6.xz | cmp - tree/6
mkdir out
gzip -dc tree.tar.gz | tar -C out -xf - --no-same-permissions
cat out/tree/? | sort -n | uniq -c | sha256sum
rm -r out
