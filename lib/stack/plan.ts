/** What `--stack` starts: parts, ports and files, worked out from the options. Pure. */

export interface StackOptions {
  dir: string;
  replicas: number;
  sentinels: number;
  /** Port of the first server; the proxy listens one below, Sentinels 20000 above. */
  basePort: number;
}

export type PartKind = "server" | "sentinel" | "proxy";

export interface Part {
  kind: PartKind;
  /** `server-6379`: also the name of its file and log. */
  name: string;
  port: number;
  /** Arguments of the executable. */
  args: string[];
  file: string;
  /** What the file says when it is not there yet. */
  text: string;
}

export const MASTER_NAME = "mymaster";

/** The options of the command line, or the text of what is wrong with them. */
export function readStackOptions(args: readonly string[], defaultDir: (basePort: number) => string): StackOptions | string {
  const o: StackOptions = { dir: "", replicas: 2, sentinels: 3, basePort: 6379 };
  for (let i = 0; i < args.length; i++) {
    const [name, inline] = args[i].split("=", 2) as [string, string | undefined];
    const value = inline ?? args[++i];
    if (value === undefined) return `${name} wants a value`;
    if (name === "--dir") {
      o.dir = value;
      continue;
    }
    const n = Number(value);
    const whole = (low: number, high: number): boolean => Number.isInteger(n) && n >= low && n <= high;
    if (name === "--replicas") {
      if (!whole(0, 20)) return `--replicas wants a number from 0 to 20, not '${value}'`;
      o.replicas = n;
    } else if (name === "--sentinels") {
      if (!whole(1, 9)) return `--sentinels wants a number from 1 to 9, not '${value}'`;
      o.sentinels = n;
    } else if (name === "--base-port") {
      if (!whole(1025, 45000)) return `--base-port wants a number from 1025 to 45000, not '${value}'`;
      o.basePort = n;
    } else return `unknown option '${name}'; --stack knows --dir, --replicas, --sentinels and --base-port`;
  }
  if (o.dir === "") o.dir = defaultDir(o.basePort);
  return o;
}

/** Every part, in the order in which they are started. */
export function planStack(o: StackOptions): Part[] {
  const parts: Part[] = [];
  const servers: number[] = [];
  for (let i = 0; i <= o.replicas; i++) servers.push(o.basePort + i);
  for (const port of servers) {
    const name = `server-${port}`;
    const file = `${o.dir}/${name}.conf`;
    const lines = [
      `port ${port}`,
      "bind 127.0.0.1",
      `dir ${o.dir}/${name}`,
      `logfile ${o.dir}/${name}.log`,
      "enable-debug-command local",
      "repl-diskless-sync-delay 0",
    ];
    if (port !== o.basePort) lines.push(`replicaof 127.0.0.1 ${o.basePort}`);
    parts.push({ kind: "server", name, port, args: [file], file, text: `${lines.join("\n")}\n` });
  }
  const quorum = Math.floor(o.sentinels / 2) + 1;
  for (let i = 0; i < o.sentinels; i++) {
    const port = o.basePort + 20000 + i;
    const name = `sentinel-${port}`;
    const file = `${o.dir}/${name}.conf`;
    const lines = [
      `port ${port}`,
      "bind 127.0.0.1",
      `dir ${o.dir}/${name}`,
      `logfile ${o.dir}/${name}.log`,
      `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${o.basePort} ${quorum}`,
      `sentinel down-after-milliseconds ${MASTER_NAME} 1000`,
      `sentinel failover-timeout ${MASTER_NAME} 6000`,
    ];
    parts.push({ kind: "sentinel", name, port, args: ["--sentinel", file], file, text: `${lines.join("\n")}\n` });
  }
  const port = o.basePort - 1;
  const name = `proxy-${port}`;
  const file = `${o.dir}/${name}.cfg`;
  const text = `defaults
    mode tcp
    timeout connect 3s
    timeout client  1h
    timeout server  1h

frontend redis
    bind 127.0.0.1:${port}
    default_backend master

backend master
    option tcp-check
    tcp-check connect
    tcp-check send PING\\r\\n
    tcp-check expect string +PONG
    tcp-check send info\\ replication\\r\\n
    tcp-check expect string role:master
    tcp-check send QUIT\\r\\n
    tcp-check expect string +OK
${servers.map((p) => `    server redis-${p} 127.0.0.1:${p} check inter 1s`).join("\n")}
`;
  parts.push({ kind: "proxy", name, port, args: ["--proxy", file], file, text });
  return parts;
}
