/** --help of the client. Its own words; the options are redis-cli's. Cold. */
import { REDIS_VERSION } from "../config/version.ts";

const TEXT = `Usage: redis-cli [OPTIONS] [command [argument ...]]
       redisha --cli [OPTIONS] [command [argument ...]]

Where to connect
  -h <host>            127.0.0.1 unless given
  -p <port>            6379 unless given
  -s <socket>          a unix socket instead of host and port
  -u <uri>             redis://user:password@host:port/database, rediss:// with TLS
  -n <database>        number of the database
  --sentinel <name>    -h and -p name a Sentinel; the master that it knows by this name is talked to
  -a, --pass <secret>  password; REDISCLI_AUTH in the environment does not show in ps
  --user <name>        ACL user, together with -a
  --askpass            asks for the password
  -2, -3               protocol: RESP2 or RESP3
  --tls --cacert <file> --cert <file> --key <file> --sni <host> --insecure

What to send
  -x                   standard input is the last argument
  -X <tag>             standard input takes the place of the argument <tag>
  -r <times> -i <s>    the command again and again, with a pause (0.1 is allowed)
  --quoted-input       arguments are written as "quoted\\x00strings"
  --eval <file> [key ...] [, argument ...]
  -c                   follow MOVED and ASK
  -e                   exit with 1 when the reply is an error

How to show it
  --raw, --no-raw      as it is (the default into a pipe) or for people
  --csv, --json, --quoted-json
  -d <text> -D <text>  between elements and behind replies of --raw
  --show-pushes <yn>   messages of RESP3 that nobody asked for

Watching and measuring
  --stat               keys, memory, clients, requests, line by line
  --latency, --latency-history, --latency-dist, --intrinsic-latency <s>
  --scan, --bigkeys, --memkeys, --memkeys-samples <n>, --hotkeys; --pattern <glob>, --quoted-pattern
  --pipe, --pipe-timeout <s>   standard input is RESP, sent as it is
  --rdb <file>, --functions-rdb <file>, --replica

Without a command it reads commands: with history, TAB for completion, "help <command>", :set nohints.
`;

export function usage(): string {
  return `redis-cli ${REDIS_VERSION}\n\n${TEXT}`;
}
usage.version = REDIS_VERSION;
