/** --help: redisha's own drawn by citty, Redis' where redis-server was called. Cold. */
import type { Invocation } from "./mode.ts";
import { version } from "./version.ts";

/** redis-server's help, to standard error and with exit code 1, as the original has it. */
const REDIS_USAGE = `Usage: ./redis-server [/path/to/redis.conf] [options] [-]
       ./redis-server - (read config from stdin)
       ./redis-server -v or --version
       ./redis-server -h or --help

Examples:
       ./redis-server (run the server with default conf)
       echo 'maxmemory 128mb' | ./redis-server -
       ./redis-server /etc/redis/6379.conf
       ./redis-server --port 7777
       ./redis-server --port 7777 --replicaof 127.0.0.1 8888
       ./redis-server /etc/myredis.conf --loglevel verbose -
       ./redis-server /etc/myredis.conf --loglevel verbose

Sentinel mode:
       ./redis-server /etc/sentinel.conf --sentinel
`;

export async function printHelp({ guise }: Invocation): Promise<void> {
  if (guise === "redis-server") {
    process.stderr.write(REDIS_USAGE);
    process.exitCode = 1;
    return;
  }
  process.stdout.write(`${await ownHelp()}\n`);
}

/** Every form of the command line. */
export async function ownHelp(): Promise<string> {
  const { defineCommand, renderUsage } = await import("citty");
  const form = (name: string, description: string) => defineCommand({ meta: { name, description } });
  const usage = await renderUsage(
    defineCommand({
      meta: { name: "redisha", version, description: "a Redis server, a Sentinel or a proxy: one file" },
      args: {
        file: { type: "positional", required: false, description: "redis.conf, or - for standard input: runs the server with it" },
        NAME: { type: "string", valueHint: "value ...", description: "any directive of the file, read after it: --port 6380 --save 60 1" },
        sentinel: { type: "boolean", description: "runs a Sentinel with that file, which it keeps up to date" },
        version: { type: "boolean", alias: "v", description: "prints the version" },
        help: { type: "boolean", alias: "h", description: "prints this" },
      },
      subCommands: {
        "--proxy": form("--proxy", "the proxy: [haproxy.cfg] or -f FILE, and HAProxy's other options; -c checks the file"),
        "--stack": form("--stack", "a whole set on this machine: servers, Sentinels, proxy; Ctrl-C stops it"),
        "--cli": form("--cli", "talks to a server, as redis-cli; --cli --help tells how"),
        "--status": form("--status", "the whole set, from any one member: [ADDRESS ...] [--watch] [--json]; exit code 0 when healthy"),
        "--check": form("--check", "examines configuration files of all kinds, each and together, with the mend of what is wrong"),
        "--doctor": form("--doctor", "examines this machine, its files and the set that runs here"),
      },
    }),
  );
  const links = "Links named redis-server, redis-sentinel, redis-cli or haproxy behave as those programs.";
  return `${process.stdout.isTTY ? usage : usage.replace(/\x1b\[[0-9;]*m/g, "")}\n${links}`;
}
