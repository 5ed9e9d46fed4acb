/** A TCP relay whose connections can be cut: after so many bytes towards the one who dialled, or at once. */
import { freePort } from "./programs.ts";
import type { Socket } from "bun";

interface Side {
  peer: Socket<Side> | null;
  /** What the peer's socket did not take yet. */
  waiting: Buffer[];
  towardsClient: boolean;
}

export class LinkProxy {
  readonly port: number;
  /** Connections cut so far. */
  cuts: number;
  private left: number;
  private readonly sockets: Set<Socket<Side>>;
  private readonly listener: { stop(force: boolean): void };

  private constructor(target: number) {
    this.cuts = 0;
    this.left = -1;
    this.sockets = new Set();
    this.port = freePort();
    const proxy = this;
    const handlers = {
      data(s: Socket<Side>, chunk: Buffer) {
        proxy.relay(s, chunk);
      },
      drain(s: Socket<Side>) {
        const from = s.data.peer;
        if (from !== null) proxy.push(from, s);
      },
      close(s: Socket<Side>) {
        proxy.sockets.delete(s);
        s.data.peer?.terminate();
      },
      error() {},
    };
    this.listener = Bun.listen<Side>({
      hostname: "127.0.0.1",
      port: this.port,
      socket: {
        ...handlers,
        open(s) {
          s.data = { peer: null, waiting: [], towardsClient: false };
          proxy.sockets.add(s);
          void Bun.connect<Side>({
            hostname: "127.0.0.1",
            port: target,
            data: { peer: s, waiting: [], towardsClient: true },
            socket: {
              ...handlers,
              open(upstream) {
                proxy.sockets.add(upstream);
                s.data.peer = upstream;
                proxy.push(s, upstream);
              },
            },
          }).catch(() => s.terminate());
        },
      },
    });
  }

  static start(target: number): Promise<LinkProxy> {
    return Promise.resolve(new LinkProxy(target));
  }

  private relay(s: Socket<Side>, chunk: Buffer): void {
    if (s.data.towardsClient && this.left >= 0) {
      if (chunk.length >= this.left) {
        // A part still goes through: the link ends in the middle of something.
        s.data.waiting.push(Buffer.from(chunk.subarray(0, this.left)));
        this.push(s, s.data.peer);
        this.left = -1;
        return this.cutNow();
      }
      this.left -= chunk.length;
    }
    s.data.waiting.push(Buffer.from(chunk));
    this.push(s, s.data.peer);
  }

  private push(from: Socket<Side>, to: Socket<Side> | null): void {
    const { waiting } = from.data;
    while (to !== null && waiting.length > 0) {
      const n = to.write(waiting[0]);
      if (n < 0) return;
      if (n < waiting[0].length) {
        waiting[0] = waiting[0].subarray(n);
        return;
      }
      waiting.shift();
    }
  }

  /** Cuts every connection when so many more bytes have gone to the one who dialled; -1: not. */
  cutAfter(bytes: number): void {
    this.left = bytes;
  }
  cutNow(): void {
    if (this.sockets.size === 0) return;
    this.cuts++;
    for (const s of this.sockets) s.terminate();
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const s of this.sockets) s.terminate();
    this.listener.stop(true);
    return Promise.resolve();
  }
}
