//! The help of the command and of its larger subcommands.

use crate::afterimage;

fn said(arguments: &[&str]) -> String {
    afterimage(&std::env::temp_dir(), arguments, &[]).out
}

#[test]
fn top() {
    insta::assert_snapshot!(said(&["--help"]), @r#"
    Watches a change stream beside any batch applier and says, with the offset in hand, which change was
    lost

    Usage: afterimage [OPTIONS] <COMMAND>

    Commands:
      demo         Show the whole thing in one process: a source, an applier that loses changes, and
                   what is found
      run          Run beside an applier and report every change that is lost
      audit        Replay a range of the tap, judge it, and exit
      decode       Print what is understood of each record of a tap
      record       Copy a tap into an archive, which is a tap itself; the same command goes on where the
                   archive ends
      replay       Play an archive, or any other tap, into Kafka or a file, in the time that it took
      explain      Tell the story of one key: its versions, what had to be applied, what the target
                   holds
      findings     Look at findings, and say what you make of them
      revalidate   Look again at open findings about rows, and close what has healed
      alerts       Try the channels of alerts
      config       Look at the configuration
      doctor       Connect to tap and target and tell what will be compared, and what proves progress
      completions  Print a completion script for a shell
      man          Print the manual page
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Log:
          --log-format <FORMAT>  How the log on standard error is written: text, json, or auto (text on
                                 a terminal, else json) [default: auto]
      -v, --verbose...           Say more; twice says everything

    Exit codes:
      0    verified clean
      1    findings at or above --fail-on
      2    usage, configuration or I/O error, or the range could not be fully verified
      130  interrupted (SIGINT)
      143  terminated (SIGTERM)

    Any key of the configuration can be set in the environment:
    AFTERIMAGE__PIPELINES__ORDERS__SETTLE=90s.
    Data goes to standard output, everything else to standard error.
    "#);
}

#[test]
fn run() {
    insta::assert_snapshot!(said(&["run", "-h"]), @r"
    Run beside an applier and report every change that is lost

    Usage: afterimage run [OPTIONS]

    Options:
      -c, --config <FILE>    Configuration file (TOML)
          --tap <URL>        The change stream: kafka://HOST:PORT/TOPIC[,TOPIC]?group=G, file:PATH,
                             file:- for standard input, or archive:FOLDER
          --target <URL>     The database the applier writes: postgres://…, mysql://…, sqlite:PATH
          --applied <HOW>    Evidence of the applier's progress, best first; may be repeated:
                             kafka-group:NAME, query:SQL, dms-status:SCHEMA,
                             heartbeat:SCHEMA.TABLE.COLUMN, inferred, assumed
          --registry <URL>   Registry of the records' schemas, as decode.registry in a configuration
          --pipeline <NAME>  Only this pipeline; without a file, the name it is given
      -h, --help             Print help

    Log:
          --log-format <FORMAT>  How the log on standard error is written: text, json, or auto (text on
                                 a terminal, else json) [default: auto]
      -v, --verbose...           Say more; twice says everything
    ");
}

#[test]
fn audit() {
    insta::assert_snapshot!(said(&["audit", "-h"]), @r"
    Replay a range of the tap, judge it, and exit

    Usage: afterimage audit [OPTIONS]

    Options:
      -c, --config <FILE>        Configuration file (TOML)
          --tap <URL>            The change stream: kafka://HOST:PORT/TOPIC[,TOPIC]?group=G, file:PATH,
                                 file:- for standard input, or archive:FOLDER
          --target <URL>         The database the applier writes: postgres://…, mysql://…, sqlite:PATH
          --applied <HOW>        Evidence of the applier's progress, best first; may be repeated:
                                 kafka-group:NAME, query:SQL, dms-status:SCHEMA,
                                 heartbeat:SCHEMA.TABLE.COLUMN, inferred, assumed
          --registry <URL>       Registry of the records' schemas, as decode.registry in a configuration
          --pipeline <NAME>      Only this pipeline; without a file, the name it is given
          --as-of <WHEN>         What keys are judged by: their newest versions now, or what the end of
                                 the range demanded, where keys that changed since cannot be told
                                 [default: now] [possible values: now, end]
          --fresh                Begin anew, where the same command was ended before all was judged
          --max-findings <N>     End early once there are more findings than this, and print no more
          --max-time <DURATION>  End early after this long, with what is known by then
          --max-wait <DURATION>  On a live tap: what is not proven by then is unverifiable [default: 5m]
          --fail-on <SEVERITY>   Least severity that makes the exit code 1: info, warning, critical
                                 [default: info]
      -o, --output <FORMAT>      How to print [default: table on a terminal, else ndjson] [possible
                                 values: table, json, ndjson, csv, markdown, junit, html]
          --report <FILE>        Also write a report to this file, in the format its name ends with:
                                 .html, .json, .ndjson, .csv, .md, .xml, .txt
      -h, --help                 Print help (see more with '--help')

    Range:
          --from <POS>  First position: beginning, end, stored, N, -N, s@MILLIS, a time, `last 2h`;
                        P:POSITION pins partition P and may be repeated [default: beginning]
          --to <POS>    Position before which the range ends, in the same forms [default: end]

    Filter:
          --table <TABLE>    Only this table of the tap; may be repeated
          --key <KEY>        Only this key: COLUMN=VALUE[,COLUMN=VALUE], or the value alone; may be
                             repeated
          --op <OP>          Only this operation: insert, read, update, delete, truncate; may be
                             repeated
          --where <SQL>      Only keys of which a change of the range has a row (a delete: had one) that
                             meets this SQL condition on the tap's columns, such as updated_at >=
                             '2026-11-22'
          --incarnation <N>  Of a source that was rewound: only this one of the logs that the range
                             holds, from 1; the newest can be judged

    Log:
          --log-format <FORMAT>  How the log on standard error is written: text, json, or auto (text on
                                 a terminal, else json) [default: auto]
      -v, --verbose...           Say more; twice says everything
    ");
}

#[test]
fn decode() {
    insta::assert_snapshot!(said(&["decode", "-h"]), @r"
    Print what is understood of each record of a tap

    Usage: afterimage decode [OPTIONS]

    Options:
          --tap <URL>        The change stream: kafka://HOST:PORT/TOPIC[,TOPIC], file:PATH, file:- for
                             standard input, or archive:FOLDER
      -c, --config <FILE>    Configuration file (TOML)
          --registry <URL>   Registry of the records' schemas, as decode.registry in a configuration
          --pipeline <NAME>  Only this pipeline
      -n, --records <N>      At most so many records
      -o, --output <FORMAT>  How to print [default: table on a terminal, else ndjson] [possible values:
                             ndjson, table, summary]
      -h, --help             Print help (see more with '--help')

    Range:
          --from <POS>  First position: beginning, end, stored, N, -N, s@MILLIS, a time, `last 2h`;
                        P:POSITION pins partition P and may be repeated [default: beginning]
          --to <POS>    Position before which the range ends, in the same forms [default: end]

    Log:
          --log-format <FORMAT>  How the log on standard error is written: text, json, or auto (text on
                                 a terminal, else json) [default: auto]
      -v, --verbose...           Say more; twice says everything
    ");
}

#[test]
fn findings_list() {
    insta::assert_snapshot!(said(&["findings", "list", "-h"]), @r"
    List findings, newest first

    Usage: afterimage findings list [OPTIONS]

    Options:
      -c, --config <FILE>        Configuration file (TOML), for the store
          --pipeline <NAME>      Only of this pipeline
          --table <TABLE>        Only of this table of the tap; may be repeated
          --kind <KIND>          Only of this kind, such as unapplied_delete; may be repeated
          --state <STATE>        Only in this state: suspected, open, acknowledged, ignored, healed,
                                 retracted; may be repeated
          --severity <SEVERITY>  Only as bad as this or worse: info, warning, critical [default: info]
          --unverified           List the ranges of the tap that ended without a verdict instead
      -n, --limit <N>            At most so many [default: 1000]
      -o, --output <FORMAT>      How to print [default: table on a terminal, else ndjson] [possible
                                 values: table, json, ndjson, csv, markdown, junit, html]
      -h, --help                 Print help (see more with '--help')

    Log:
          --log-format <FORMAT>  How the log on standard error is written: text, json, or auto (text on
                                 a terminal, else json) [default: auto]
      -v, --verbose...           Say more; twice says everything
    ");
}

#[test]
fn record() {
    insta::assert_snapshot!(said(&["record", "-h"]), @r"
    Copy a tap into an archive, which is a tap itself; the same command goes on where the archive ends

    Usage: afterimage record [OPTIONS] --archive <URL>

    Options:
          --tap <URL>        The change stream: kafka://HOST:PORT/TOPIC[,TOPIC], file:PATH, file:- for
                             standard input, or archive:FOLDER
      -c, --config <FILE>    Configuration file (TOML)
          --pipeline <NAME>  Only this pipeline
          --archive <URL>    Where to: archive:FOLDER
      -h, --help             Print help

    Range:
          --from <POS>  First position of partitions that the archive does not hold yet, as for audit
                        [default: beginning]
          --to <POS>    Position before which to end [default: a file's end; on Kafka, go on until a
                        signal]

    Segments:
          --segment-bytes <SIZE>     Close a segment once it holds so many bytes, unpacked [default:
                                     32MiB]
          --segment-time <DURATION>  Close a segment once its first record has waited so long; a killed
                                     process loses no more than the open one, and the next run records
                                     that again [default: 1m]
          --keep-for <DURATION>      Remove segments whose newest record is older than this
          --keep-bytes <SIZE>        Remove the oldest segments while all of them have more bytes than
                                     this

    Log:
          --log-format <FORMAT>  How the log on standard error is written: text, json, or auto (text on
                                 a terminal, else json) [default: auto]
      -v, --verbose...           Say more; twice says everything
    ");
}

#[test]
fn replay() {
    insta::assert_snapshot!(said(&["replay", "-h"]), @r"
    Play an archive, or any other tap, into Kafka or a file, in the time that it took

    Usage: afterimage replay [OPTIONS] --into <URL>

    Options:
          --tap <URL>        What to play: archive:FOLDER, or any other tap
      -c, --config <FILE>    Configuration file (TOML)
          --registry <URL>   Registry of the records' schemas, as decode.registry in a configuration;
                             only --table and --key need it
          --pipeline <NAME>  Only this pipeline
          --into <URL>       Where to: kafka://HOST:PORT (the topics' own names),
                             kafka://HOST:PORT/TOPIC, file:PATH, or file:- for standard output
          --speed <N|max>    Times as fast as it was recorded, or max [default: 1]
      -h, --help             Print help

    Filter:
          --table <TABLE>  Only this table of the tap; may be repeated
          --key <KEY>      Only this key: COLUMN=VALUE[,COLUMN=VALUE], or the value alone; may be
                           repeated

    Range:
          --from <POS>  First position: beginning, end, stored, N, -N, s@MILLIS, a time, `last 2h`;
                        P:POSITION pins partition P and may be repeated [default: beginning]
          --to <POS>    Position before which the range ends, in the same forms [default: end]

    Log:
          --log-format <FORMAT>  How the log on standard error is written: text, json, or auto (text on
                                 a terminal, else json) [default: auto]
      -v, --verbose...           Say more; twice says everything
    ");
}
