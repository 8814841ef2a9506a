#!/usr/bin/env perl
# Works in any language that can start a program: writes a line to the model, reads a line back.
# Usage: stream.pl penguins.onnx
use strict;
use warnings;
use IPC::Open2;
use JSON::PP;

my $process = open2(my $answers, my $rows, 'sidecall', 'predict', $ARGV[0], '--stream');
for my $bird ({island => 'Biscoe', bill_length_mm => 48.2, body_mass_g => 5100}, {bill_length_mm => 'long'}) {
    print $rows encode_json($bird), "\n";
    my $answer = decode_json(scalar <$answers>);
    print $answer->{error} ? "refused: $answer->{error}{message}\n" : "$answer->{label}\n";
}
close $rows;
waitpid $process, 0;
exit $? >> 8;
