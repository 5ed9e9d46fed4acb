/**
 * HELLO, AUTH and SELECT of mode redis: what a client asks for is tried on a connection of ours, answered as the server answers, and then it is
 * the client's state, which decides the pool that serves it. COLD.
 *
 * One link a backend, each question behind a RESET and what the client had before, so that questions do not see each other.
 */
import { Link } from "../../link/link.ts";
import { Out } from "../../resp/out.ts";
import { ReplyError, type Reply } from "../../resp/reply.ts";
import { ClientState } from "../core/client_state.ts";
import type { Server } from "../state.ts";
import type { Board } from "./board.ts";
import { ASKING, GOING, type RedisClient } from "./client.ts";
import { UNAVAILABLE } from "./shared.ts";

const ASK_MS = 3000;

interface Question {
  client: RedisClient;
  words: string[];
  atMs: number;
}

export class Login {
  private readonly board: Board;
  private link: Link | null;
  private server: Server | null;
  /** Asked and not answered; asked anew when the server changes. */
  private readonly open: Set<Question>;

  constructor(board: Board) {
    this.board = board;
    this.link = null;
    this.server = null;
    this.open = new Set();
  }

  ask(client: RedisClient, words: string[]): void {
    const name = words[0]!.toLowerCase();
    const checked = this.board.users === null ? null : this.board.users.login(client, words);
    if (checked !== null) {
      if (Buffer.isBuffer(checked)) return this.finish(client, checked);
      words = checked;
    }
    if (name === "select" && words.length === 2 && this.board.isKnown(stateAfter(client, words))) {
      client.state.commit(words);
      return this.finish(client, Buffer.from("+OK\r\n"));
    }
    this.put({ client, words, atMs: performance.now() });
  }

  private put(q: Question): void {
    this.open.add(q);
    const server = this.board.target;
    if (server === null || !this.board.isOpen) return; // asked when there is one
    const link = this.to(server);
    link.send(["RESET"], () => {});
    const had = q.client.state.restore().map((r) => r.words);
    // What HELLO and AUTH replace need not be there before.
    for (const w of had) link.send(w, () => {});
    link.send(q.words, (reply) => {
      if (this.open.has(q) && reply !== undefined && link === this.link) this.answered(q, reply);
    });
  }

  private to(server: Server): Link {
    if (this.link !== null && this.server === server) return this.link;
    this.link?.close();
    this.server = server;
    const link: Link = new Link({
      ...this.board.where(server),
      timeoutMs: ASK_MS,
      closed: (l) => {
        if (l === this.link) this.link = null;
      },
    });
    this.link = link;
    return link;
  }

  private answered(q: Question, reply: Reply): void {
    const { client, words } = q;
    if (reply instanceof ReplyError && /^(LOADING|MASTERDOWN)/.test(reply.text)) return; // asked again
    this.open.delete(q);
    if (client.isOver) return;
    const out = new Out(client.state.protocol);
    if (reply instanceof ReplyError) out.errorText(reply.text);
    else {
      client.state.commit(words);
      this.names(client, words);
      out.resp = client.state.protocol;
      if (words[0]!.toLowerCase() === "hello" && Array.isArray(reply)) {
        const at = reply.indexOf("id");
        if (at >= 0) reply[at + 1] = client.id;
        out.map(reply.length / 2);
        for (const r of reply) write(out, r);
      } else out.ok();
    }
    this.finish(client, out.take());
  }
  private names(client: RedisClient, words: string[]): void {
    if (words[0]!.toLowerCase() !== "hello") return;
    const at = words.findIndex((w, i) => i > 1 && w.toLowerCase() === "setname");
    if (at > 0 && words[at + 1] !== undefined) client.name = words[at + 1]!;
    client.state.forgetName();
  }
  private finish(client: RedisClient, answer: Buffer): void {
    if (client.isOver) return;
    client.rejoin();
    client.answer(client.next++, answer);
    if (client.stop === ASKING) client.stop = GOING;
    this.board.flushClients();
    // Behind this turn: the question may still be on the stack.
    queueMicrotask(() => client.resume());
  }

  /** Another master, or the same again: open questions are asked once more; those that waited too long are answered. */
  again(): void {
    for (const q of Array.from(this.open)) {
      this.open.delete(q);
      if (!q.client.isOver) this.put(q);
    }
  }
  tick(now: number, holdMs: number): void {
    let stale = false;
    for (const q of this.open) {
      if (now - q.atMs > holdMs) {
        this.open.delete(q);
        this.finish(q.client, UNAVAILABLE);
      } else if (now - q.atMs > 250 && this.link === null) stale = true;
    }
    if (stale) this.again();
  }
  close(): void {
    this.link?.close();
    this.link = null;
    this.open.clear();
  }
}

function stateAfter(client: RedisClient, words: string[]): ClientState {
  const state = client.state.copy();
  state.commit(words);
  return state;
}

function write(out: Out, r: Reply): void {
  if (r === null) out.nil();
  else if (typeof r === "number") out.int(r);
  else if (typeof r === "string") out.bulkText(r);
  else if (Array.isArray(r)) {
    out.array(r.length);
    for (const x of r) write(out, x);
  } else out.bulkText(String(r));
}
