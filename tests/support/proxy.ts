/** Proxies for tests: the original haproxy or ours on one haproxy.cfg text, log lines read from its standard output. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, createServer, type Server as NetServer, type Socket } from "node:net";
import { freePort, originals, Program, redisha, tempDir, until, type Kind } from "./programs.ts";

/** Starts a proxy on `text` (`{port}` is replaced) and waits until it takes connections. */
export async function startProxy(kind: Kind | "haproxy", text: string, options: { port?: number; args?: string[] } = {}): Promise<Program> {
  const port = options.port ?? freePort();
  const dir = tempDir("proxy.");
  mkdirSync(dir, { recursive: true });
  const file = join(dir, "haproxy.cfg");
  writeFileSync(file, text.replaceAll("{port}", String(port)), "latin1");
  const command = kind === "haproxy" ? [originals.haproxy, "-db"] : [redisha, "--proxy", "-db"];
  const program = new Program(`proxy-${kind}`, [...command, "-f", file, ...(options.args ?? [])], port, dir, true);
  program.start();
  try {
    await until(`${kind} to listen on ${port}`, () => {
      if (program.process!.exitCode !== null) throw new Error(`${kind} ended with ${program.process!.exitCode}:\n${program.output}`);
      return listens(port);
    });
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
  return program;
}

/** True when something listens on the port (a connection would be a session with a log line of its own). */
export function listens(port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return ["/proc/net/tcp", "/proc/net/tcp6"].some(
    (f) => existsSync(f) && new RegExp(`:${hex} [0-9A-F]+:0000 0A `).test(readFileSync(f, "latin1")),
  );
}

/** A client whose end and bytes a test can wait for. */
export class Peer {
  readonly socket: Socket;
  text: string;
  ended: boolean;
  closed: boolean;
  error: string;
  constructor(socket: Socket) {
    this.socket = socket;
    this.text = "";
    this.ended = false;
    this.closed = false;
    this.error = "";
    socket.on("data", (d) => (this.text += d.toString("latin1")));
    socket.on("end", () => (this.ended = true));
    socket.on("error", (e) => (this.error = (e as { code?: string }).code ?? e.message));
    socket.on("close", () => (this.closed = true));
  }
  static async to(port: number): Promise<Peer> {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const peer = new Peer(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", () => resolve());
      socket.once("error", reject);
    });
    return peer;
  }
  send(text: string): void {
    this.socket.write(Buffer.from(text, "latin1"));
  }
  async has(text: string): Promise<void> {
    await until(`${JSON.stringify(text)} in ${JSON.stringify(this.text)}`, () => this.text.includes(text));
  }
  async isOver(): Promise<void> {
    await until("the connection's end", () => this.ended || this.closed);
  }
}

/** A TCP server whose behaviour the test decides per connection. */
export class Target implements AsyncDisposable {
  readonly server: NetServer;
  readonly port: number;
  readonly peers: Socket[];
  private constructor(server: NetServer, port: number, peers: Socket[]) {
    this.server = server;
    this.port = port;
    this.peers = peers;
  }
  static async start(onConnection: (s: Socket) => void, port = 0): Promise<Target> {
    const peers: Socket[] = [];
    const server = createServer({ allowHalfOpen: true }, (s) => {
      peers.push(s);
      s.on("error", () => {});
      onConnection(s);
    });
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", () => resolve()));
    return new Target(server, (server.address() as { port: number }).port, peers);
  }
  async stop(): Promise<void> {
    for (const p of this.peers) p.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
