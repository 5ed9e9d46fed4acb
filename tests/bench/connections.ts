/**
 * `bench connections [IDLE] [BUSY] [RELOADS]`: many connections through haproxy and through ours in turn, held while a server dies and
 * returns, another stands still for a moment and the configuration is reloaded (-sf). Prints who was cut and the memory of all processes of
 * the proxy. `bytes`: no look at what goes through; `article`: the article's role checks, where ours reads the requests.
 *
 *   IDLE clients, one PING at the start and one at the end --\
 *   BUSY clients, INCR of their own key, each reply checked --+--> proxy (and its former processes) --> server a; b is its backup
 *
 * Idle and busy clients live in this process. About three descriptors a connection are needed here, in the proxy and in the server.
 */
import { freePort, originals, Program, redisha, startServer, tempDir, until } from "../support/programs.ts";
import { listens } from "../support/proxy.ts";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rssBytes, table } from "./measure.ts";

const PROXIES = ["haproxy", "redisha"] as const;
const ROLE_CHECK = "option tcp-check\ntcp-check connect\ntcp-check send info\\ replication\\r\\n\ntcp-check expect string role:master\n";
/** Between two requests of a busy client. */
const BUSY_MS = 100;
/** Connections that are opened at once. */
const BATCH = 250;

/** One client: what it waits for is counted, not kept. */
class Client {
  private readonly key: string;
  private sent: number;
  private timer: ReturnType<typeof setInterval> | null;
  socket: import("bun").Socket<Client> | null;
  done: number;
  cut: boolean;
  wrong: number;

  constructor(key: string) {
    this.key = key;
    this.sent = 0;
    this.timer = null;
    this.socket = null;
    this.done = 0;
    this.cut = false;
    this.wrong = 0;
  }
  ask(): void {
    if (this.cut || this.sent > this.done) return;
    this.sent++;
    this.socket!.write(this.key === "" ? "*1\r\n$4\r\nPING\r\n" : `*2\r\n$4\r\nINCR\r\n$${this.key.length}\r\n${this.key}\r\n`);
  }
  answer(text: string): void {
    this.done++;
    console.error("WRONG", this.key, this.done, this.sent, JSON.stringify(text));
    if (text !== (this.key === "" ? "+PONG\r\n" : `:${this.done}\r\n`)) this.wrong++;
  }
  busy(): void {
    this.timer = setInterval(() => this.ask(), BUSY_MS);
  }
  quiet(): void {
    if (this.timer !== null) clearInterval(this.timer);
  }
}

function open(port: number, client: Client): Promise<unknown> {
  return Bun.connect<Client>({
    hostname: "127.0.0.1",
    port,
    data: client,
    socket: {
      open(s) {
        client.socket = s;
        client.ask();
      },
      data: (s, chunk) => s.data.answer(chunk.toString("latin1")),
      close: (s) => void (s.data.cut = true),
      error: (s) => void (s.data.cut = true),
      connectError: () => void (client.cut = true),
    },
  }).catch(() => (client.cut = true));
}

/** Private memory of a process: what would not be there without it, bytes. */
function ownBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
  return [...text.matchAll(/^Private_\w+: +(\d+) kB/gm)].reduce((sum, m) => sum + Number(m[1]) * 1024, 0);
}

export async function bench(args: string[]): Promise<void> {
  const idle = Number(args[0] ?? 10_000);
  const busy = Number(args[1] ?? 1000);
  const reloads = Number(args[2] ?? 20);
  const rows: (string | number)[][] = [];
  for (const path of ["bytes", "article"])
    for (const kind of PROXIES) {
      const row = await run(kind, path, idle, busy, reloads);
      rows.push(row);
      console.error(row.map((c) => (typeof c === "number" ? Math.round(c * 100) / 100 : c)).join("  "));
    }
  console.log(`${idle} idle and ${busy} busy connections, ${reloads} reloads; MB of all processes of the proxy, private memory`);
  console.log(
    table(
      ["", "cut", "wrong", "not answered", "requests", "processes", "RSS MB at rest", "MB with all", "MB a 1,000", "MB at the end"],
      rows,
    ),
  );
}

async function run(
  kind: (typeof PROXIES)[number],
  path: string,
  idle: number,
  busy: number,
  reloads: number,
): Promise<(string | number)[]> {
  await using a = await startServer("redis", { maxclients: idle + busy + 200 });
  // Beside a role check the backup is a replica, as it should be; it comes back as one.
  await using b = await startServer("redis", path === "article" ? { replicaof: `127.0.0.1 ${a.port}` } : {});
  const port = freePort();
  const dir = tempDir("connections.");
  const file = join(dir, "haproxy.cfg");
  const check = path === "article" ? ROLE_CHECK : "";
  writeFileSync(
    file,
    `global\nmaxconn ${2 * (idle + busy)}\ndefaults\nmode tcp\ntimeout connect 10s\ntimeout client 1h\ntimeout server 1h\n` +
      `listen redis\nbind 127.0.0.1:${port}\nmaxconn ${2 * (idle + busy)}\n${check}server a 127.0.0.1:${a.port} check inter 1s fall 10\nserver b 127.0.0.1:${b.port} check inter 200ms backup\n`,
  );
  const command = kind === "haproxy" ? [originals.haproxy, "-db"] : [redisha, "--proxy", "-db"];
  const processes: Program[] = [];
  const alive = (): Program[] => processes.filter((p) => p.process!.exitCode === null);
  const start = async (): Promise<void> => {
    const former = alive().map((p) => String(p.pid));
    const p = new Program(
      `proxy${processes.length}`,
      [...command, "-f", file, ...(former.length > 0 ? ["-sf", ...former] : [])],
      port,
      dir,
      false,
    );
    processes.push(p);
    p.start();
    // Until the new one answers for itself.
    await until("the proxy to listen", () => listens(port) || p.process!.exitCode !== null);
    await until("it to serve", async () => (await p.cli("ping")) === "PONG", 30_000);
  };
  await start();
  const rest = rssBytes(processes[0].pid);
  const ownAtRest = ownBytes(processes[0].pid);
  const clients = Array.from({ length: idle + busy }, (_, i) => new Client(i < idle ? "" : `k${i}`));
  for (let i = 0; i < clients.length; i += BATCH) await Promise.all(clients.slice(i, i + BATCH).map((c) => open(port, c)));
  const answered = (c: Client): boolean => c.cut || c.done > 0;
  await until("all to be served once", () => clients.every(answered), 120_000);
  const full = ownBytes(processes[0].pid);
  for (const c of clients.slice(idle)) c.busy();
  for (let n = 0; n < reloads; n++) {
    await b.stop("SIGKILL");
    await start();
    b.start();
    await b.ready();
    a.kill("SIGSTOP");
    await Bun.sleep(200);
    a.kill("SIGCONT");
    await until("the busy to get on", () => clients.slice(idle).every((c) => c.cut || c.done > n), 60_000);
  }
  for (const c of clients) c.quiet();
  for (const c of clients.slice(0, idle)) c.ask();
  let missing = 0;
  try {
    await until("the idle to be answered", () => clients.every((c, i) => c.cut || i >= idle || c.done === 2), 60_000);
  } catch {
    missing = clients.slice(0, idle).filter((c) => !c.cut && c.done < 2).length;
  }
  const end = alive().reduce((sum, p) => sum + ownBytes(p.pid), 0);
  const count = (of: (c: Client) => number): number => clients.reduce((sum, c) => sum + of(c), 0);
  const row = [
    `${path} ${kind}`,
    String(count((c) => (c.cut ? 1 : 0))),
    String(count((c) => c.wrong)),
    String(missing),
    String(count((c) => c.done)),
    String(alive().length),
    rest / 1e6,
    full / 1e6,
    ((full - ownAtRest) / 1e6 / (idle + busy)) * 1000,
    end / 1e6,
  ];
  for (const c of clients) c.socket?.terminate();
  for (const p of processes) await p.stop();
  return row;
}
