/**
 * Commands run in this process on a keyspace of their own: no sockets, no dispatch, no gates. For tests of what a reply does not show
 * (propagation, notifications, memory) and for many short runs.
 *
 *   const local = new Local({ ...hashRuns });
 *   local.do("HSET", "h", "f", "v")      // "(1)", as wire.ts writes replies
 *   local.propagated                     // what the last command sends to replicas: [["HSET", "h", "f", "v"]]
 */
import { Call, encodeCommand } from "../../lib/clients/call.ts";
import { Client } from "../../lib/clients/client.ts";
import { Command, type Run } from "../../lib/clients/command.ts";
import { setNotify } from "../../lib/commands/effects.ts";
import { Keyspace } from "../../lib/store/keyspace.ts";
import { parse } from "./wire.ts";

type Arg = string | number | Buffer;

export class Local {
  readonly keyspace: Keyspace;
  readonly client: Client;
  /** What the last command would send to replicas and the AOF, as words. */
  propagated: string[][];
  dirty: number;
  /** "event key" of the last command's notifications. */
  events: string[];
  private readonly runs: Record<string, Run>;

  constructor(runs: Record<string, Run>, resp: 2 | 3 = 2) {
    this.runs = runs;
    this.keyspace = new Keyspace(0);
    this.client = new Client(1, null, this.keyspace);
    this.client.out.resp = resp;
    this.propagated = [];
    this.dirty = 0;
    this.events = [];
  }

  do(...args: Arg[]): string {
    const call = new Call(0);
    const name = String(args[0]).toLowerCase();
    const words = args.map((a) => (typeof a === "number" ? String(a) : a));
    call.client = this.client;
    call.out = this.client.out;
    call.command = new Command({ name, arity: -1, flags: 0 }, 0, this.runs[name], 0, null, false);
    call.buf = encodeCommand(words);
    call.argc = words.length;
    call.end = call.buf.length;
    call.at = offsets(call.buf, words.length);
    this.events = [];
    setNotify(-1, (_class, event, _db, buf, start, end) => this.events.push(`${event} ${buf.toString("latin1", start, end)}`));
    call.command.run(call);
    setNotify(0, null);
    this.dirty = call.dirty;
    const sent = call.instead ?? (call.dirty > 0 && !call.silent ? [call.buf] : []);
    this.propagated = sent.map(wordsOf);
    const reply = this.client.out.take();
    const parsed = parse(reply, 0);
    if (parsed === null || parsed[1] !== reply.length) throw new Error(`not one reply: ${JSON.stringify(reply.toString("latin1"))}`);
    return parsed[0];
  }
}

/** Start and end of each bulk of a request that encodeCommand made. */
function offsets(b: Buffer, count: number): Int32Array {
  const at = new Int32Array(count * 2);
  let p = b.indexOf("\r\n") + 2;
  for (let i = 0; i < count; i++) {
    const eol = b.indexOf("\r\n", p);
    const length = Number(b.toString("latin1", p + 1, eol));
    at[i * 2] = eol + 2;
    at[i * 2 + 1] = eol + 2 + length;
    p = eol + 4 + length;
  }
  return at;
}

function wordsOf(b: Buffer): string[] {
  const count = Number(b.toString("latin1", 1, b.indexOf("\r\n")));
  const at = offsets(b, count);
  if (at[count * 2 - 1] + 2 !== b.length) throw new Error(`not one command: ${JSON.stringify(b.toString("latin1"))}`);
  return Array.from({ length: count }, (_, i) => b.toString("latin1", at[i * 2], at[i * 2 + 1]));
}
