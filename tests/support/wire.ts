/**
 * A raw RESP client for tests: sends bytes, reads replies with their types kept, so that two servers' answers can be compared to the byte.
 * A reply reads as text in redis-cli's spirit but unambiguous: `"bulk"`, `+status`, `-error`, `(int)`, `nil`, `[a, b]`, `{k: v}`, `~[..]`, `>[..]`.
 */

export class Wire {
  private buffer: Buffer;
  private waiting: { resolve: (s: string) => void; reject: (e: Error) => void }[];
  private readonly socket: import("bun").Socket<undefined>;
  private ended: boolean;
  /** Pushes received outside replies, in order. */
  readonly pushes: string[];

  private constructor(socket: import("bun").Socket<undefined>) {
    this.socket = socket;
    this.buffer = Buffer.alloc(0);
    this.waiting = [];
    this.ended = false;
    this.pushes = [];
  }

  static async connect(port: number, path?: string): Promise<Wire> {
    let wire: Wire | null = null;
    const handlers = {
      data(_s: unknown, chunk: Buffer) {
        wire!.feed(chunk);
      },
      close() {
        wire?.finish();
      },
      error() {
        wire?.finish();
      },
    };
    const socket =
      path === undefined
        ? await Bun.connect({ hostname: "127.0.0.1", port, socket: handlers })
        : await Bun.connect({ unix: path, socket: handlers });
    wire = new Wire(socket as any);
    return wire;
  }

  /** Sends one command and waits for its reply. */
  do(...args: (string | number | Buffer)[]): Promise<string> {
    this.send(...args);
    return this.next();
  }
  /** Sends without waiting; read the reply with next(). */
  send(...args: (string | number | Buffer)[]): void {
    const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)];
    for (const a of args) {
      const b = Buffer.isBuffer(a) ? a : Buffer.from(String(a), "latin1");
      parts.push(Buffer.from(`$${b.length}\r\n`), b, Buffer.from("\r\n"));
    }
    this.raw(Buffer.concat(parts));
  }
  raw(bytes: Buffer | string): void {
    this.queue.push(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
    this.pump();
  }
  private queue: Buffer[] = [];
  private pump(): void {
    while (this.queue.length > 0) {
      const b = this.queue[0];
      const n = this.socket.write(b);
      if (n < 0) return;
      if (n < b.length) {
        this.queue[0] = b.subarray(n);
        setTimeout(() => this.pump(), 1);
        return;
      }
      this.queue.shift();
    }
  }

  /** The next reply; "closed" when the connection ends first. */
  next(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.drain();
    });
  }
  close(): void {
    this.socket.end();
  }
  /** Ends it at once, whatever the other side does. */
  destroy(): void {
    this.socket.terminate();
    this.finish();
  }
  get isClosed(): boolean {
    return this.ended;
  }

  private feed(chunk: Buffer): void {
    this.buffer = this.buffer.length > 0 ? Buffer.concat([this.buffer, chunk]) : chunk;
    this.drain();
  }
  private finish(): void {
    this.ended = true;
    this.drain();
  }
  private drain(): void {
    while (this.waiting.length > 0) {
      const r = parse(this.buffer, 0);
      if (r === null) {
        if (this.ended) this.waiting.shift()!.resolve("closed");
        else return;
      } else {
        this.buffer = this.buffer.subarray(r[1]);
        this.waiting.shift()!.resolve(r[0]);
      }
    }
  }
}

/** One reply of b from p: its text and where it ends; null when it is not complete. */
export function parse(b: Buffer, p: number): [string, number] | null {
  const e = b.indexOf("\r\n", p);
  if (e < 0) return null;
  const type = String.fromCharCode(b[p]);
  const head = b.toString("latin1", p + 1, e);
  const after = e + 2;
  switch (type) {
    case "+":
      return [`+${head}`, after];
    case "-":
      return [`-${head}`, after];
    case ":":
      return [`(${head})`, after];
    case ",":
      return [`,${head}`, after];
    case "#":
      return [`#${head}`, after];
    case "_":
      return ["nil3", after];
    case "(":
      return [`(big ${head})`, after];
    case "$":
    case "=": {
      const n = Number(head);
      if (n < 0) return ["nil", after];
      if (after + n + 2 > b.length) return null;
      return [`${type === "=" ? "=" : ""}${JSON.stringify(b.toString("latin1", after, after + n))}`, after + n + 2];
    }
    case "*":
    case "~":
    case ">":
    case "%":
    case "|": {
      const n = Number(head);
      if (n < 0) return ["nilarray", after];
      const pairs = type === "%" || type === "|";
      const items: string[] = [];
      let q = after;
      for (let i = 0; i < (pairs ? n * 2 : n); i++) {
        const r = parse(b, q);
        if (r === null) return null;
        items.push(r[0]);
        q = r[1];
      }
      if (!pairs) return [`${type === "*" ? "" : type}[${items.join(", ")}]`, q];
      const kv: string[] = [];
      for (let i = 0; i < items.length; i += 2) kv.push(`${items[i]}: ${items[i + 1]}`);
      return [`${type === "|" ? "|" : ""}{${kv.join(", ")}}`, q];
    }
    default:
      throw new Error(`not RESP: ${JSON.stringify(b.toString("latin1", p, Math.min(b.length, p + 80)))}`);
  }
}
