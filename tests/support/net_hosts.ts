/**
 * Hosts with addresses of their own on one machine: a network namespace each, joined by a bridge in a namespace of its own, so that the
 * machine's network is never touched and a host can be cut off while its programs run on.
 *
 *     host 1 10.77.0.1 --veth-- [ bridge 10.77.0.254, where the test's own clients sit ] --veth-- host 2 10.77.0.2
 *
 * Each namespace lives as long as its `sleep`. Needs root, iproute2 and util-linux; `canNest` says whether they are there.
 */
import { existsSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { Program, originals, redisha, tempDir, until, type Kind } from "./programs.ts";

function sh(...args: string[]): { ok: boolean; text: string } {
  try {
    const p = Bun.spawnSync(args, { stdout: "pipe", stderr: "pipe" });
    return { ok: p.exitCode === 0, text: p.stdout.toString() + p.stderr.toString() };
  } catch (error) {
    return { ok: false, text: (error as Error).message };
  }
}

/** May this process make namespaces, and bridges in them? */
export const canNest = sh("unshare", "-n", "sh", "-c", "ip link add br0 type bridge && ip link add p1 type veth peer name p2").ok;
if (!canNest) console.warn("SKIPPING tests with network namespaces: unshare -n, ip or the rights for them are missing");

class Namespace {
  readonly keeper: ReturnType<typeof Bun.spawn>;
  constructor() {
    this.keeper = Bun.spawn(["unshare", "-n", "sleep", "infinity"], { stdio: ["ignore", "ignore", "ignore"] });
  }
  /** Words before a command that is to run in it. */
  get inside(): string[] {
    return ["nsenter", "-t", String(this.keeper.pid), "-n"];
  }
  ip(...words: string[]): void {
    const { ok, text } = sh(...this.inside, "ip", ...words);
    if (!ok) throw new Error(`ip ${words.join(" ")}: ${text}`);
  }
  end(): void {
    this.keeper.kill("SIGKILL");
  }
}

/** A program on a host; `cli` reaches it from the bridge. */
export class Guest extends Program {
  readonly ip: string;
  private readonly from: string[];
  constructor(name: string, args: string[], ip: string, port: number, dir: string, from: string[]) {
    super(name, args, port, dir, true);
    this.ip = ip;
    this.from = from;
  }
  /** redis-cli, given up after some seconds: the host may be cut off. */
  override async cli(...args: string[]): Promise<string> {
    const p = Bun.spawn([...this.from, "timeout", "5", originals.cli, "-h", this.ip, "-p", String(this.port), ...args], {
      stdout: "pipe",
      stderr: "pipe",
      stdin: "ignore",
    });
    const [out, err] = await Promise.all([new Response(p.stdout).text(), new Response(p.stderr).text()]);
    await p.exited;
    return (out + err).replace(/\n$/, "");
  }
}

export class Hosts {
  private readonly bridge: Namespace;
  private readonly hosts: Namespace[];
  private readonly guests: Program[];
  private readonly doors: Server[];

  private constructor() {
    this.bridge = new Namespace();
    this.hosts = [];
    this.guests = [];
    this.doors = [];
  }

  static async of(count: number): Promise<Hosts> {
    const net = new Hosts();
    try {
      const { bridge } = net;
      // The keeper has entered its namespace once it differs from ours.
      const settled = async (n: Namespace): Promise<void> => {
        const own = sh("readlink", "/proc/self/ns/net").text;
        await until("the namespace", () => {
          const theirs = sh("readlink", `/proc/${n.keeper.pid}/ns/net`);
          return theirs.ok && theirs.text !== own;
        });
      };
      await settled(bridge);
      bridge.ip("link", "add", "br0", "type", "bridge");
      bridge.ip("addr", "add", "10.77.0.254/24", "dev", "br0");
      bridge.ip("link", "set", "br0", "up");
      for (let i = 1; i <= count; i++) {
        const host = new Namespace();
        net.hosts.push(host);
        await settled(host);
        bridge.ip("link", "add", `p${i}`, "type", "veth", "peer", "name", "eth0", "netns", String(host.keeper.pid));
        bridge.ip("link", "set", `p${i}`, "master", "br0", "up");
        host.ip("addr", "add", `${net.ip(i)}/24`, "dev", "eth0");
        host.ip("link", "set", "lo", "up");
        host.ip("link", "set", "eth0", "up");
      }
    } catch (error) {
      await net[Symbol.asyncDispose]();
      throw error;
    }
    return net;
  }

  /** Hosts are numbered from 1. */
  ip(host: number): string {
    return `10.77.0.${host}`;
  }

  /** redis-cli on the guest's own host, which may be cut off. */
  async cliOn(guest: Guest, ...args: string[]): Promise<string> {
    const inside = this.hosts[Number(guest.ip.split(".").at(-1)) - 1].inside;
    const p = Bun.spawn([...inside, "timeout", "5", originals.cli, "-h", guest.ip, "-p", String(guest.port), ...args], {
      stdout: "pipe",
      stderr: "pipe",
      stdin: "ignore",
    });
    const [out, err] = await Promise.all([new Response(p.stdout).text(), new Response(p.stderr).text()]);
    await p.exited;
    return (out + err).replace(/\n$/, "");
  }

  /** Nothing comes from it or to it any more; what runs there runs on. */
  cut(host: number): void {
    this.bridge.ip("link", "set", `p${host}`, "down");
  }
  heal(host: number): void {
    this.bridge.ip("link", "set", `p${host}`, "up");
  }

  /** Starts a program of either kind on a host with these lines as its file. */
  async start(host: number, kind: Kind, what: "server" | "sentinel", lines: string[]): Promise<Guest> {
    const dir = tempDir();
    const port = what === "server" ? 6379 : 26379;
    const file = join(dir, `${what}.conf`);
    writeFileSync(file, [`port ${port}`, "bind 0.0.0.0", "protected-mode no", `dir ${dir}`, ...lines, ""].join("\n"));
    const program = kind === "redis" ? originals.server : redisha;
    const args = [...this.hosts[host - 1].inside, program, file, ...(what === "sentinel" ? ["--sentinel"] : [])];
    const guest = new Guest(`${what}-${kind}-${host}`, args, this.ip(host), port, dir, this.bridge.inside);
    this.guests.push(guest);
    guest.start();
    await guest.ready();
    return guest;
  }

  /**
   * Starts our proxy on the bridge with this file, whose only bind is `bind unix@{socket}`; the loopback port at which the test's clients find it.
   */
  async startProxy(text: string): Promise<number> {
    const dir = tempDir("proxy.");
    const [file, path] = [join(dir, "haproxy.cfg"), join(dir, "socket")];
    writeFileSync(file, text.replaceAll("{socket}", path));
    const proxy = new Program("proxy", [...this.bridge.inside, redisha, "--proxy", "-db", "-f", file], 0, dir, true);
    this.guests.push(proxy);
    proxy.start();
    await until("the proxy", () => existsSync(path));
    const door = createServer((client) => {
      const inner = connect({ path });
      client.pipe(inner).pipe(client);
      client.on("error", () => inner.destroy());
      inner.on("error", () => client.destroy());
    });
    this.doors.push(door);
    await new Promise<void>((resolve) => door.listen(0, "127.0.0.1", resolve));
    return (door.address() as { port: number }).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const d of this.doors) d.close();
    for (const g of this.guests.reverse()) await g[Symbol.asyncDispose]();
    for (const n of [...this.hosts, this.bridge]) n.end();
  }
}
