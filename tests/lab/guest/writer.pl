#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
# For test_power.py. In a child, as its init: writes without end and says on the console what fsync has promised:
#     writer.pl
# Afterwards, on the file system that is left: are the first LOGGED records, and what FILED files of it remain, all there?
#     writer.pl --check FOLDER LOGGED FILED
use strict;
use warnings;
use IO::Handle;

use constant { FOLDER => '/root/w', SIZE => 4096, KEPT => 16 };

sub record {
	my ($kind, $n) = @_;
	return sprintf("%-6s%09d\n", $kind, $n) x (SIZE / 16);
}

sub length_of { return 1 + $_[0] % 13 } # of file $n, in records

sub done { syswrite(STDOUT, "$_[0]\n") }

sub slurp {
	my ($path) = @_;
	open(my $file, '<', $path) or return '';
	local $/;
	return <$file> // '';
}

# Appends to one file.
sub log_on {
	my ($folder) = @_;
	open(my $log, '>', "$folder/log") or die "log: $!\n";
	for (my $n = 1;; $n++) {
		syswrite($log, record('log', $n)) == SIZE && $log->sync or die "log: $!\n";
		done("logged $n");
	}
}

# Makes new files, each under its name only once it is whole; KEPT of them stay.
sub file_on {
	my ($folder) = @_;
	open(my $names, '<', $folder) or die "$folder: $!\n";
	for (my $n = 1;; $n++) {
		open(my $new, '>', "$folder/new") or die "new: $!\n";
		my $data = record('file', $n) x length_of($n);
		syswrite($new, $data) == length($data) && $new->sync or die "new: $!\n";
		rename("$folder/new", "$folder/file.$n") && $names->sync or die "file.$n: $!\n";
		done("filed $n");
		unlink("$folder/file." . ($n - KEPT));
	}
}

# Keeps the journal busy with what nobody waits for.
sub churn_on {
	my ($folder) = @_;
	for (my $n = 1;; $n++) {
		my $place = "$folder/churn." . $n % 7;
		unlink("$place/$_") for 0 .. 9;
		rmdir($place);
		mkdir($place) or die "$place: $!\n";
		for my $name (0 .. rand(10)) {
			open(my $file, '>', "$place/$name") or die "$place: $!\n";
			syswrite($file, record('churn', $n) x rand(20));
		}
		select(undef, undef, undef, 0.05);
	}
}

# One sector of the second drive, the one of 1 MiB, is written and flushed, another one only written.
sub mark_second {
	my ($second) = map { m{block/(\w+)} } grep { slurp($_) eq "2048\n" } glob('/sys/block/sd*/size');
	my $dd = "dd of=/dev/$second bs=512 oflag=direct status=none";
	system("printf flushed | $dd conv=sync,fsync; printf written | $dd conv=sync seek=8") == 0 or die "no second drive\n";
	done('second drive marked');
}

sub write_on {
	system('mount -o remount,rw /; rm -rf ' . FOLDER) == 0 or die "mount: $?\n";
	mkdir(FOLDER) or die FOLDER . ": $!\n";
	system('sync');
	mark_second();
	for my $work (\&log_on, \&file_on, \&churn_on) {
		$work->(FOLDER) if !fork;
	}
	while (1) { wait; sleep 1 }
}

sub check {
	my ($folder, $logged, $filed) = @_;
	my ($log, $bad) = (slurp("$folder/log"), 0);
	for my $n (1 .. $logged) {
		$bad += substr($log, ($n - 1) * SIZE, SIZE) ne record('log', $n);
	}
	# One more than was said may have been made, and the oldest one have gone for it.
	for my $n (1 .. $filed + 1) {
		my $data = slurp("$folder/file.$n");
		my $needed = $n <= $filed && $n > $filed + 1 - KEPT;
		$bad += $data ne record('file', $n) x length_of($n) if $needed || $data ne '';
	}
	done("$logged records, $filed files, bad $bad");
	return $bad != 0;
}

if (@ARGV == 4 && $ARGV[0] eq '--check') {
	exit check(@ARGV[1 .. 3]);
}
write_on();
