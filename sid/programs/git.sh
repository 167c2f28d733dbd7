# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# git: its own processes for packing, hooks, and pipes between them.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org
export GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@example.org GIT_AUTHOR_DATE='2020-01-01T00:00:00Z'
export GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git init -q -b main repository
cd repository || exit
git config pack.threads 1
printf '#!/bin/sh\necho "hook: $(git diff --cached --name-only | wc -l) files"\n' >.git/hooks/pre-commit
chmod +x .git/hooks/pre-commit
for i in 1 2 3 4; do
    seq 1 "${i}000" >numbers
    echo "$i" >"file $i"
    git add -A
    git commit -q -m "commit $i"
done
git log --stat --format='%H %s'
git gc -q
git fsck
git clone -q . ../clone
git -C ../clone log --oneline | wc -l
git archive --format=tar HEAD | tar -t
git show HEAD~1:numbers | tail -1
rm -f .git/index ../clone/.git/index # they hold times and inode numbers
