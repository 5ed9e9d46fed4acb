/** One part at one address: connect, log in, a few questions, each with a deadline. Cold. */
import type { TLSOptions } from "bun";
import { strerror } from "../bytes/errno.ts";
import type { Address } from "../fleet/hello.ts";
import { Link } from "../link/link.ts";
import { dial } from "../net/dial.ts";
import { ReplyError, type Reply } from "../resp/reply.ts";

export interface Access {
  user: string | null;
  password: string | null;
  /** For Sentinels, when it is another one than the servers'. */
  sentinelPassword: string | null;
  tls: TLSOptions | null;
  timeoutMs: number;
}

/** No answer, in words: "Connection refused", "no answer in 1000 ms", or the error that it gave. */
export class NoAnswer extends Error {}

export class Talk {
  private readonly link: Link;
  private readonly timeoutMs: number;
  private reason: string | null;
  private onMessage: ((items: Reply[]) => void) | null;

  constructor(address: Address, access: Access) {
    this.timeoutMs = access.timeoutMs;
    this.reason = null;
    this.onMessage = null;
    this.link = new Link({
      hostname: address.host,
      port: address.port,
      timeoutMs: access.timeoutMs,
      ...(access.tls !== null ? { tls: access.tls } : {}),
      message: (_link, items) => this.onMessage?.(items),
      closed: (_link, error) => {
        this.reason ??= error === null ? "the connection was closed" : strerror(error);
      },
    });
  }

  /** The reply; rejects with NoAnswer when it is an error or does not come. */
  ask(...words: string[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.reason ??= `no answer in ${this.timeoutMs} ms`;
        this.link.close();
      }, this.timeoutMs);
      this.link.send(words, (reply) => {
        clearTimeout(timer);
        // The link says why it was lost after it has said so to those who wait.
        if (reply === undefined) queueMicrotask(() => reject(new NoAnswer(this.reason ?? "no answer")));
        else if (reply instanceof ReplyError) reject(new NoAnswer(reply.text));
        else resolve(reply);
      });
    });
  }

  /** The same, null instead of an error: for questions that old versions do not know. */
  async maybe(...words: string[]): Promise<Reply> {
    try {
      return await this.ask(...words);
    } catch {
      return null;
    }
  }

  /** Messages of a channel for `forMs`, or until `enough` says so. */
  listen(channel: string, forMs: number, onMessage: (text: string) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, forMs);
      this.onMessage = (items) => {
        if (items[0] !== "message" || !onMessage(String(items[2]))) return;
        clearTimeout(timer);
        resolve();
      };
      this.link.subscribe(channel);
    });
  }

  close(): void {
    this.link.close();
  }
}

/** AUTH with what was given; a server that wants none is content too. */
export async function logIn(talk: Talk, access: Access, password: string | null): Promise<void> {
  if (password === null) return;
  try {
    await talk.ask("AUTH", ...(access.user !== null ? [access.user] : []), password);
  } catch (error) {
    // "AUTH <password> called without any password configured" is no reason to stop.
    if (!/without any password/.test((error as Error).message)) throw error;
  }
}

/** What a statistics socket says to one command line. */
export function askSocket(path: string, line: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const done = (error: string | null): void => {
      clearTimeout(timer);
      if (error !== null && text === "") reject(new NoAnswer(error));
      else resolve(text);
    };
    const timer = setTimeout(() => {
      conn.terminate();
      done(`no answer in ${timeoutMs} ms`);
    }, timeoutMs);
    const { conn } = dial<null>({
      path,
      data: null,
      timeoutMs,
      handler: {
        open(c) {
          c.out.lit(Buffer.from(`${line}\n`));
          c.flush();
        },
        data: (_c, chunk) => {
          text += chunk.toString("utf8");
        },
        drained() {},
        end: (c) => c.closeAfterFlush(),
        close: () => done(null),
      },
      failed: (_c, error) => done(strerror(error)),
    });
  });
}
