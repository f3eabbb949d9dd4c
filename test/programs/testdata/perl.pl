#!/usr/bin/perl
# perl: files, processes, pipes, sockets, signals.
use strict;
use warnings;
use File::Find;
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX qw(:sys_wait_h :signal_h);
use Time::HiRes qw(usleep alarm);
use Fcntl qw(:flock SEEK_SET);
$| = 1;

my $dir = tempdir(CLEANUP => 1);
chdir $dir or die;
for my $i (1 .. 500) {
    open my $f, '>', "f$i" or die "f$i: $!";
    print $f "content $i\n" x $i;
    close $f or die;
}
my ($count, $size) = (0, 0);
find(sub { if (-f) { $count++; $size += -s _ } }, $dir);
print "files $count, bytes $size\n";
my @sorted = sort { -s $a <=> -s $b || $a cmp $b } glob 'f*';
print "smallest $sorted[0], largest $sorted[-1]\n";
rename 'f1', 'renamed' or die;
print -e 'f1' ? "still there\n" : "renamed\n";
print "unlinked ", unlink(glob 'f*'), "\n";

my %words;
$words{$_}++ for map { $_ % 97 } 1 .. 100_000;
print join(' ', map { "$_=$words{$_}" } (sort { $a <=> $b } keys %words)[0 .. 3]), "\n";

print `echo from a shell; exit 3`;
print "status ", $? >> 8, "\n";
open my $pipe, '-|', 'sort', '-n', '/dev/null' or die;
close $pipe or die;
open my $out, '|-', 'wc -l' or die;
print $out "line\n" for 1 .. 1234;
close $out;

my @children;
for my $i (1 .. 10) {
    my $pid = fork // die "fork: $!";
    exit $i if !$pid;
    push @children, $pid;
}
my $sum = 0;
for (@children) { waitpid $_, 0; $sum += $? >> 8 }
print "children returned $sum\n";

my $hits = 0;
$SIG{ALRM} = sub { $hits++ };
for (1 .. 3) { alarm 0.02; select undef, undef, undef, 5 }
print "alarms $hits\n";
$SIG{USR1} = sub { print "USR1\n" };
kill USR1 => $$;
my $pid = fork // die;
if (!$pid) { sleep 100; exit }
kill TERM => $pid;
waitpid $pid, 0;
print "killed by ", $? & 127, "\n";

my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die "listen: $@";
my $port = $server->sockport;
if (!(my $kid = fork // die)) {
    for (1 .. 3) {
        my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die "connect: $@";
        print $c "hello $_\n";
        my $answer = <$c>;
        print $answer;
        close $c;
    }
    exit 0;
} else {
    for (1 .. 3) {
        my $c = $server->accept or die;
        my $line = <$c>;
        print $c uc $line;
        close $c;
    }
    waitpid $kid, 0;
    print "client ", $? >> 8, "\n";
}
my ($l, $r) = IO::Socket->socketpair(AF_UNIX, SOCK_STREAM, 0);
syswrite $l, "x" x 1000;
print "socketpair ", sysread($r, my $buf, 4096), "\n";
my $unix = IO::Socket::UNIX->new(Local => "$dir/sock", Listen => 1) or die "unix: $!";
my $c = IO::Socket::UNIX->new(Peer => "$dir/sock") or die "unix connect: $!";
my $s = $unix->accept;
print $c "over unix\n";
$c->shutdown(1);
print <$s>;

open my $lock, '>', 'lock' or die;
flock $lock, LOCK_EX or die;
my $locker = fork // die;
if (!$locker) { open my $l2, '>', 'lock'; exit(flock($l2, LOCK_EX | LOCK_NB) ? 1 : 0) }
waitpid $locker, 0;
print "lock is held: ", $? == 0 ? "yes" : "no", "\n";
print "uname: ", (POSIX::uname)[0], "\n";
print sprintf('%.10f', atan2(1, 1) * 4), "\n";
eval { local $SIG{__DIE__}; die { code => 42 } };
print "die $@->{code}\n";
exit 17;
