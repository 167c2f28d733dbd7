# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Perl: descriptors by number, pipes, children, alarms and signals.
use strict;
use warnings;
use POSIX ();
use Time::HiRes ();
$| = 1;

sub burn { my $until = (times)[0] + $_[0]; my $n = 0; while ((times)[0] < $until) { $n++ for 1 .. 1000 } }

open(my $own, '>', 'own') or die;
print fileno($own), "\n";
POSIX::dup2(fileno($own), 7);
open(my $seven, '>&=', 7) or die;
print $seven "through 7\n";
close($seven);
my ($in, $out) = POSIX::pipe();
print "$in $out\n";
burn(0.1);
my $child = fork();
if (!$child) { burn(0.03); POSIX::write($out, "from the child", 14); exit 3 }
waitpid($child, 0);
print $? >> 8, "\n";
POSIX::read($in, my $text, 100);
print "$text\n";
my %count;
$SIG{$_} = do { my $name = $_; sub { $count{$name}++ } } for qw(TRAP PROF ALRM);
burn(0.1);
kill($_, $$) for qw(TRAP PROF);
Time::HiRes::ualarm(50000, 50000); # one that comes before pause() is followed by another
POSIX::pause();
Time::HiRes::ualarm(0);
$count{ALRM} = 'some' if $count{ALRM};
print join(' ', map { "$_ $count{$_}" } sort keys %count), "\n";
print `echo from a shell`;
open(my $pipe, '-|', 'sh', '-c', 'seq 1 5; exit 4') or die;
print <$pipe>;
close($pipe);
print $? >> 8, "\n";
$SIG{TRAP} = 'DEFAULT';
kill('TRAP', $$);
