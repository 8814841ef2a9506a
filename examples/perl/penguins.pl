#!/usr/bin/env perl
# Asks a model about one penguin, and shows how a bad record is refused. Usage: penguins.pl [MODEL]
# MODEL is a file or the address of a server, such as shm:penguins; penguins.onnx by default.
# Any language that can start a program can do the same: write a line to the command, read a line.
use strict;
use warnings;
use IPC::Open2;
use JSON::PP;

my $model = $ARGV[0] // 'penguins.onnx';
my $process = open2(my $answers, my $records, 'sidecall', 'predict', $model, '--stream');
$SIG{PIPE} = 'IGNORE';    # if the command has ended, predict reads no line and exits

# Returns the answer to one record. If the command gives no answer, it has already printed why.
sub predict {
    my ($record) = @_;
    print $records encode_json($record), "\n";
    my $line = <$answers>;
    return decode_json($line) if defined $line;
    close $records;
    waitpid $process, 0;
    exit($? >> 8 || 1);
}

my %penguin = (
    island            => 'Biscoe',
    sex               => undef,      # a missing value; the feature may also be left out
    bill_length_mm    => 48.2,
    bill_depth_mm     => 14.3,
    flipper_length_mm => 215,
    body_mass_g       => 4900,
);
my $answer = predict(\%penguin);
die "$answer->{error}{message}\n" if $answer->{error};
print "label: $answer->{label}\n";
printf "probabilities.Gentoo: %.4f\n", $answer->{probabilities}{Gentoo};

my $refused = predict({%penguin, bill_length_mm => 'long', body_mass_g => 'heavy'});
if (my $error = $refused->{error}) {
    die "$error->{message}\n" unless @{$error->{faults}};    # the run itself has failed
    print "refused: $_->{message}\n" for @{$error->{faults}};
}

close $records;
waitpid $process, 0;
exit $? >> 8;
