/**
 * A whole set on free loopback ports, every part ours or the original: servers (the first is the master), Sentinels, a proxy in front, and
 * writers that go through it. End-to-end tests and `bench failover` tell the same stories with it.
 *
 *   Writer --SET fresh key, INCR, CONFIG GET port--> proxy --> master <-- replicas
 *                                                      \-- asks --> Sentinels
 */
import { startProxy } from "./proxy.ts";
import { Program, startSentinel, startServer, until, type Kind } from "./programs.ts";
import { Wire } from "./wire.ts";

export interface Kinds {
  /** The first is the master at the start. */
  servers: Kind[];
  sentinels: Kind[];
  proxy: Kind | "haproxy";
}

export interface SetOptions {
  downAfterMs?: number;
  failoverTimeoutMs?: number;
  /** Lines of every server's file. */
  conf?: Record<string, string | number>;
}

/** So many of a program's last lines stand in an account. */
const ACCOUNT_LINES = 120;

/** The article's checks. */
const CHECKS = `option tcp-check
tcp-check connect
tcp-check send PING\\r\\n
tcp-check expect string +PONG
tcp-check send info\\ replication\\r\\n
tcp-check expect string role:master
tcp-check send QUIT\\r\\n
tcp-check expect string +OK
`;

export class WholeSet {
  readonly servers: Program[];
  readonly sentinels: Program[];
  proxy: Program;
  private readonly parts: Program[];

  private constructor() {
    this.servers = [];
    this.sentinels = [];
    this.parts = [];
    this.proxy = null as unknown as Program; // started last
  }

  /** Starts all and waits until the replicas are synced, every Sentinel knows all others and all replicas, and the proxy serves the master. */
  static async start(kinds: Kinds, options: SetOptions = {}): Promise<WholeSet> {
    const set = new WholeSet();
    try {
      await set.startServers(kinds.servers, options.conf ?? {});
      await set.startSentinels(kinds.sentinels, options);
      const lines = set.servers.map((s, i) => `server s${i} 127.0.0.1:${s.port} check inter 1s\n`).join("");
      set.proxy = await startProxy(
        kinds.proxy,
        "defaults REDIS\nmode tcp\ntimeout connect 3s\ntimeout server 60s\ntimeout client 60s\n" +
          `frontend ft_redis\nbind 127.0.0.1:{port} name redis\ndefault_backend bk_redis\nbackend bk_redis\n${CHECKS}${lines}`,
      );
      set.parts.push(set.proxy);
      // The original sends new connections to replicas at first, until their checks have failed.
      let good = 0;
      await until("the proxy to serve the master alone", async () => {
        good = (await set.portThroughProxy()) === set.servers[0].port ? good + 1 : 0;
        return good >= 2 * kinds.servers.length;
      });
    } catch (error) {
      await set[Symbol.asyncDispose]();
      throw error;
    }
    return set;
  }

  private async startServers(kinds: Kind[], conf: Record<string, string | number>): Promise<void> {
    for (const kind of kinds) {
      const of = this.servers[0];
      const server = await startServer(kind, of === undefined ? conf : { replicaof: `127.0.0.1 ${of.port}`, ...conf });
      this.servers.push(server);
      this.parts.push(server);
    }
    for (const replica of this.servers.slice(1)) await this.follows(replica, this.servers[0]);
  }

  private async startSentinels(kinds: Kind[], options: SetOptions): Promise<void> {
    const lines = [
      `sentinel monitor m 127.0.0.1 ${this.servers[0].port} ${Math.floor(kinds.length / 2) + 1}`,
      `sentinel down-after-milliseconds m ${options.downAfterMs ?? 1000}`,
      `sentinel failover-timeout m ${options.failoverTimeoutMs ?? 6000}`,
      "sentinel parallel-syncs m 1",
    ];
    for (const kind of kinds) {
      const sentinel = await startSentinel(kind, lines);
      this.sentinels.push(sentinel);
      this.parts.push(sentinel);
    }
    await this.isWhole();
  }

  /** Another program takes the place of one that was stopped, with its port, folder and file. */
  async exchange(list: Program[], index: number, program: string): Promise<Program> {
    const old = list[index];
    const successor = new Program(`${old.name}+`, [program, ...old.args.slice(1)], old.port, old.dir, false);
    list[index] = successor;
    this.parts.push(successor);
    successor.start();
    return successor.ready();
  }

  /** Another proxy on the same port and file; the old one is told to finish (-sf) and goes when its clients have gone. */
  async exchangeProxy(command: readonly string[]): Promise<Program> {
    const old = this.proxy;
    const file = old.args[old.args.indexOf("-f") + 1];
    const args = [...command, "-db", "-f", file, "-sf", String(old.pid)];
    this.proxy = new Program(`${old.name}+`, args, old.port, old.dir, false);
    this.parts.push(this.proxy);
    this.proxy.start();
    await until("the old proxy to finish", () => old.process!.exitCode !== null || old.process!.signalCode !== null, 60_000);
    return this.proxy;
  }

  /** Waits until every Sentinel sees all servers and all others up. */
  async isWhole(): Promise<void> {
    const [replicas, others] = [String(this.servers.length - 1), String(this.sentinels.length - 1)];
    for (const s of this.sentinels)
      await until(
        "the Sentinels to see the whole set",
        async () => {
          const master = pairs(await s.cli("sentinel", "master", "m"));
          if (master["flags"] !== "master" || master["num-slaves"] !== replicas || master["num-other-sentinels"] !== others) return false;
          return !/^flags\n.*(down|disconnected)/m.test(await s.cli("sentinel", "replicas", "m"));
        },
        40_000,
      );
  }

  /** Port of the server that a new connection through the proxy reaches, 0 when none answers. */
  async portThroughProxy(): Promise<number> {
    return Number(/tcp_port:(\d+)/.exec(await this.proxy.cli("info", "server"))?.[1] ?? 0);
  }

  /** The server that all Sentinels name, null while they differ. */
  async agreed(): Promise<Program | null> {
    const ports = new Set<string>();
    for (const s of this.sentinels) ports.add((await s.cli("sentinel", "get-master-addr-by-name", "m")).split("\n")[1] ?? "?");
    return ports.size === 1 ? (this.servers.find((s) => ports.has(String(s.port))) ?? null) : null;
  }

  /** Waits until all Sentinels name another server than `old` and it says master. */
  async switchedFrom(old: Program): Promise<Program> {
    return until(
      "a new master",
      async () => {
        const master = await this.agreed();
        return master !== null && master !== old && (await master.info("replication"))["role"] === "master" ? master : null;
      },
      30_000,
    );
  }

  async follows(server: Program, master: Program): Promise<void> {
    await until(
      `${server.port} to follow ${master.port}`,
      async () => {
        const i = await server.info("replication");
        return i["role"] === "slave" && i["master_port"] === String(master.port) && i["master_link_status"] === "up";
      },
      40_000,
    );
  }

  /** All there is to know after a failure: what each part has printed (its last lines), and each Sentinel's and server's present view. */
  async account(writer: Writer | null = null): Promise<string> {
    const blocks: string[] = [];
    for (const p of this.parts)
      blocks.push(`=== ${p.name} ${p.port} (pid ${p.process?.pid})\n${p.output.split("\n").slice(-ACCOUNT_LINES).join("\n")}`);
    for (const s of this.sentinels)
      blocks.push(`=== ${s.name} ${s.port} says\n${(await s.cli("sentinel", "get-master-addr-by-name", "m")).replace("\n", " ")}`);
    for (const s of this.servers) blocks.push(`=== ${s.name} ${s.port} says\n${await s.cli("info", "replication")}`);
    if (writer !== null) blocks.push(`=== the writer\n${writer.account()}`);
    return blocks.join("\n");
  }

  /** Runs a test's steps; when one fails the account of the whole set is printed before the set goes away. */
  async tell<T>(writer: () => Writer | null, steps: () => Promise<T>): Promise<T> {
    try {
      return await steps();
    } catch (error) {
      console.error(await this.account(writer()));
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const p of this.parts.reverse()) await p[Symbol.asyncDispose]();
  }
}

/** redis-cli's lines of name and value, in turn. */
export function pairs(text: string): Record<string, string> {
  const lines = text.split("\n");
  const o: Record<string, string> = {};
  for (let i = 0; i + 1 < lines.length; i += 2) o[lines[i]] = lines[i + 1];
  return o;
}

/** An acknowledged write: its key, when the reply came (performance.now()), and the port of the server that gave it. */
export interface Acknowledged {
  key: string;
  atMs: number;
  port: number;
}

let writers = 0;
/** Between a writer's requests. */
const PAUSE_MS = 5;

export interface WriterOptions {
  /** So many writes to a connection, then a new one; 0: one connection as long as it lasts. */
  perConnection?: number;
  /** A connection that gives no reply for so long is given up. */
  silenceMs?: number;
}

/**
 * A client that writes a fresh key after the other through the proxy, one at a time, and connects again when it is cut or has landed on a
 * replica.
 */
export class Writer {
  readonly acknowledged: Acknowledged[];
  /** Error replies, by first word. */
  readonly errors: Record<string, number>;
  /** Connections that ended under it. */
  cut: number;
  readonly counter: string;
  private readonly port: number;
  private readonly silenceMs: number;
  private readonly perConnection: number;
  private readonly prefix: string;
  private wire: Wire | null;
  private over: boolean;
  private readonly work: Promise<void>;

  constructor(port: number, options: WriterOptions = {}) {
    this.acknowledged = [];
    this.errors = {};
    this.cut = 0;
    this.prefix = `w${++writers}`;
    this.counter = `${this.prefix}:count`;
    this.port = port;
    this.perConnection = options.perConnection ?? 0;
    this.silenceMs = options.silenceMs ?? 30_000;
    this.wire = null;
    this.over = false;
    this.work = this.run();
  }

  private async run(): Promise<void> {
    for (let n = 0; !this.over; n++) {
      try {
        this.wire ??= await Wire.connect(this.port);
        await this.write(this.wire, `${this.prefix}:${n}`);
        if (this.perConnection > 0 && n % this.perConnection === 0) {
          this.wire?.close();
          this.wire = null;
        }
      } catch {
        this.wire = null; // refused
      }
      await Bun.sleep(PAUSE_MS);
    }
  }

  private async write(wire: Wire, key: string): Promise<void> {
    wire.send("SET", key, "1");
    wire.send("INCR", this.counter);
    wire.send("CONFIG", "GET", "port");
    const silence = setTimeout(() => wire.destroy(), this.silenceMs);
    const [set, incr, port] = [await wire.next(), await wire.next(), await wire.next()];
    clearTimeout(silence);
    for (const reply of [set, incr])
      if (reply.startsWith("-")) {
        const word = reply.slice(1).split(" ")[0];
        this.errors[word] = (this.errors[word] ?? 0) + 1;
      }
    if (set === "+OK") this.acknowledged.push({ key, atMs: performance.now(), port: Number(/"(\d+)"\]$/.exec(port)?.[1] ?? 0) });
    if (set.startsWith("-READONLY")) wire.destroy();
    if (wire.isClosed) {
      if (!this.over) this.cut++;
      this.wire = null;
    }
  }

  /** Waits for `count` more acknowledgements. */
  async more(count = 10): Promise<void> {
    const wanted = this.acknowledged.length + count;
    await until("the writer's acknowledgements", () => this.acknowledged.length >= wanted, 30_000);
  }

  /** Ports that acknowledged, one after the other; one that was returned to stands there twice. 0: the reply that names it was lost. */
  get servers(): number[] {
    const ports = this.acknowledged.map((a) => a.port).filter((p) => p > 0);
    return ports.filter((p, i) => p !== ports[i - 1]);
  }

  /** What was acknowledged and is not at `server`. */
  async missingAt(server: Program): Promise<Acknowledged[]> {
    const wire = await Wire.connect(server.port);
    const missing: Acknowledged[] = [];
    for (const a of this.acknowledged) if ((await wire.do("EXISTS", a.key)) !== "(1)") missing.push(a);
    wire.close();
    return missing;
  }

  /** For a failed test: what came from whom, in time. */
  account(): string {
    const now = performance.now();
    const runs: string[] = [];
    let from = 0;
    for (let i = 1; i <= this.acknowledged.length; i++) {
      const [a, b] = [this.acknowledged[i - 1], this.acknowledged[i]];
      if (b !== undefined && a.port === b.port && b.atMs - a.atMs < 500) continue;
      const ago = (x: Acknowledged): string => `${Math.round(x.atMs - now)} ms`;
      runs.push(`${this.acknowledged[from].key} (${ago(this.acknowledged[from])}) to ${a.key} (${ago(a)}) by ${a.port}`);
      from = i;
    }
    return `${runs.join("\n")}\ncut ${this.cut}, errors ${JSON.stringify(this.errors)}`;
  }

  async stop(): Promise<void> {
    this.over = true;
    this.wire?.destroy();
    await this.work;
  }
}
