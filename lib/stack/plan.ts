/**
 * What `--stack` starts: parts, ports and files, worked out from the options. Pure.
 *
 * Servers take the ports from the base on, the proxy the one below, Sentinels those 20000 above. Every part has a file, a folder and a log
 * named after it in the set's folder. Leaves out looking at the machine (ports.ts) and starting anything (stack.ts).
 */

export interface StackOptions {
  dir: string;
  replicas: number;
  sentinels: number;
  /** Port of the first server. */
  basePort: number;
}

export type PartKind = "server" | "sentinel" | "proxy";

export interface Part {
  kind: PartKind;
  /** `server-6379`: also the name of its file, folder and log. */
  name: string;
  port: number;
  /** Arguments of the executable. */
  args: string[];
  file: string;
  /** Where it runs and keeps its data. */
  folder: string;
  log: string;
  /** What the file says when it is not there yet. */
  text: string;
}

export const MASTER_NAME = "mymaster";

const SENTINELS_ABOVE = 20000;

export const OWN_OPTIONS: readonly string[] = ["--dir", "--replicas", "--sentinels", "--base-port"];

export const STACK_USAGE = `usage: redisha --stack [--replicas 2] [--sentinels 3] [--base-port 6379] [--dir DIR]

  Starts a master, replicas, Sentinels and a proxy on this machine, shows who is what, and stops them all at Ctrl-C.
  Servers listen from the base port on, the proxy one below it, Sentinels ${SENTINELS_ABOVE} above it, all on 127.0.0.1.
  Data, files and logs stay in DIR; the next start goes on from there.`;

/** The options of the command line, or the text of what is wrong with them. */
export function readStackOptions(args: readonly string[], defaultDir: (basePort: number) => string): StackOptions | string {
  const o: StackOptions = { dir: "", replicas: 2, sentinels: 3, basePort: 6379 };
  const known = "--stack knows --dir, --replicas, --sentinels and --base-port";
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    const equals = arg.indexOf("=");
    const name = equals < 0 ? arg : arg.slice(0, equals);
    if (!OWN_OPTIONS.includes(name)) return `unknown option '${name}'; ${known}`;
    const value = equals < 0 ? args[++i] : arg.slice(equals + 1);
    if (value === undefined || value === "") return `${name} wants a value`;
    if (name === "--dir") {
      o.dir = value;
      continue;
    }
    const [low, high] = name === "--replicas" ? [0, 20] : name === "--sentinels" ? [1, 9] : [1025, 45000];
    const n = Number(value);
    if (!Number.isInteger(n) || n < low || n > high) return `${name} wants a number from ${low} to ${high}, not '${value}'`;
    if (name === "--replicas") o.replicas = n;
    else if (name === "--sentinels") o.sentinels = n;
    else o.basePort = n;
  }
  if (o.dir === "") o.dir = defaultDir(o.basePort);
  return o;
}

/** A word of redis.conf and sentinel.conf, whatever is in it. */
function quoted(word: string): string {
  return /^[\w./-]+$/.test(word) ? word : `"${word.replace(/[\\"]/g, "\\$&")}"`;
}

function part(o: StackOptions, kind: PartKind, port: number, lines: (p: Part) => string[]): Part {
  const name = `${kind}-${port}`;
  const base = `${o.dir}/${name}`;
  const file = `${base}.${kind === "proxy" ? "cfg" : "conf"}`;
  const args = kind === "server" ? [file] : [`--${kind}`, file];
  const p: Part = { kind, name, port, args, file, folder: base, log: `${base}.log`, text: "" };
  p.text = `${lines(p).join("\n")}\n`;
  return p;
}

/** Every part, in the order in which they are started. */
export function planStack(o: StackOptions): Part[] {
  const parts: Part[] = [];
  for (let i = 0; i <= o.replicas; i++) {
    parts.push(
      part(o, "server", o.basePort + i, (p) => [
        `port ${p.port}`,
        "bind 127.0.0.1",
        `dir ${quoted(p.folder)}`,
        `logfile ${quoted(p.log)}`,
        "enable-debug-command local",
        "repl-diskless-sync-delay 0",
        ...(i > 0 ? [`replicaof 127.0.0.1 ${o.basePort}`] : []),
      ]),
    );
  }
  const servers = parts.map((p) => p.port);
  const quorum = Math.floor(o.sentinels / 2) + 1;
  for (let i = 0; i < o.sentinels; i++) {
    parts.push(
      part(o, "sentinel", o.basePort + SENTINELS_ABOVE + i, (p) => [
        `port ${p.port}`,
        "bind 127.0.0.1",
        `dir ${quoted(p.folder)}`,
        `logfile ${quoted(p.log)}`,
        `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${o.basePort} ${quorum}`,
        `sentinel down-after-milliseconds ${MASTER_NAME} 1000`,
        `sentinel failover-timeout ${MASTER_NAME} 6000`,
      ]),
    );
  }
  parts.push(part(o, "proxy", o.basePort - 1, (p) => proxyLines(p.port, servers)));
  return parts;
}

function proxyLines(port: number, servers: readonly number[]): string[] {
  return [
    "defaults",
    "    mode tcp",
    "    timeout connect 3s",
    "    timeout client  1h",
    "    timeout server  1h",
    "",
    "frontend redis",
    `    bind 127.0.0.1:${port}`,
    "    default_backend master",
    "",
    "backend master",
    "    option tcp-check",
    "    tcp-check connect",
    "    tcp-check send PING\\r\\n",
    "    tcp-check expect string +PONG",
    "    tcp-check send info\\ replication\\r\\n",
    "    tcp-check expect string role:master",
    "    tcp-check send QUIT\\r\\n",
    "    tcp-check expect string +OK",
    ...servers.map((p) => `    server redis-${p} 127.0.0.1:${p} check inter 1s`),
  ];
}

/** Files in the set's folder that belong to no part of this plan: the folder is another set's. */
export function strangers(names: readonly string[], parts: readonly Part[]): string[] {
  const own = new Set(parts.map((p) => p.file.slice(p.file.lastIndexOf("/") + 1)));
  return names.filter((n) => /^(server-\d+\.conf|sentinel-\d+\.conf|proxy-\d+\.cfg)$/.test(n) && !own.has(n)).sort();
}

/** The options that would have made the files of `names`: what to say to somebody who started with other ones. */
export function optionsOf(names: readonly string[]): string {
  const ports = (kind: string): number[] =>
    names
      .flatMap((n) => new RegExp(`^${kind}-(\\d+)\\.(conf|cfg)$`).exec(n)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  const servers = ports("server");
  const words = [`--base-port ${servers[0]}`, `--replicas ${servers.length - 1}`, `--sentinels ${ports("sentinel").length}`];
  return servers.length === 0 ? "" : words.join(" ");
}
