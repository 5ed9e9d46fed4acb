/**
 * SLOWLOG: commands that took long. COLD; dispatch compares one number a command.
 * Entries are cut as Redis slowlog.c does: 32 arguments, 128 bytes each.
 */
import { FLAG } from "../commands/table/row.ts";
import { errorLine } from "../resp/errors.ts";
import { parseInt64 } from "../bytes/number.ts";
import { clock } from "../time/clock.ts";
import type { Runs } from "./bind.ts";
import { Call } from "./call.ts";
import { FLAG_TRUSTED, type Client, type Queued } from "./client.ts";
import { shownArgument } from "./redact.ts";
import { tooMany } from "./replies.ts";
import type { ClientSettings } from "./settings.ts";

const MOST_ARGUMENTS = 32;
const MOST_BYTES = 128;
const BAD_COUNT = errorLine("ERR count should be greater than or equal to -1");

interface Entry {
  id: number;
  unixSeconds: number;
  micros: number;
  args: string[];
  remote: string;
  name: string;
}

export class SlowLog {
  private readonly settings: ClientSettings;
  /** Newest last. */
  private entries: Entry[];
  private nextId: number;

  constructor(settings: ClientSettings) {
    this.settings = settings;
    this.entries = [];
    this.nextId = 0;
  }

  /** After CONFIG SET slowlog-max-len. */
  trim(): void {
    const extra = this.entries.length - this.settings.slowlogMaxLength;
    if (extra > 0) this.entries.splice(0, extra);
  }

  /** A command has ended; kept when it was slow enough. */
  add(call: Call, micros: number): void {
    const { client } = call;
    const limit = this.settings.slowlogSlowerThanMicros;
    if (limit < 0 || micros < limit) return;
    if (call.command.flags & FLAG.skip_slowlog || client.flags & FLAG_TRUSTED) return;
    const shown = Math.min(call.argc, MOST_ARGUMENTS);
    const args: string[] = [];
    for (let i = 0; i < shown; i++) {
      if (shown !== call.argc && i === shown - 1) {
        args.push(`... (${call.argc - shown + 1} more arguments)`);
        break;
      }
      const text = shownArgument(call, i);
      args.push(text.length > MOST_BYTES ? `${text.slice(0, MOST_BYTES)}... (${text.length - MOST_BYTES} more bytes)` : text);
    }
    const { remote, name } = client;
    this.entries.push({ id: this.nextId++, unixSeconds: Math.floor(clock.nowMs / 1000), micros: Math.floor(micros), args, remote, name });
    this.trim();
  }

  /** A blocked command that was ended without being run again. */
  addSaved(client: Client, saved: Queued, micros: number): void {
    const call = new Call(0);
    call.client = client;
    call.command = saved.command;
    call.buf = saved.buf;
    call.at = saved.at;
    call.argc = saved.argc;
    this.add(call, micros);
  }

  commands(): Runs {
    return {
      "slowlog|get": (call) => this.get(call),
      "slowlog|len": (call) => call.out.int(this.entries.length),
      "slowlog|reset": (call) => {
        this.entries = [];
        call.out.ok();
      },
    };
  }

  private get(call: Call): void {
    const { out } = call;
    if (call.argc > 3) return tooMany(call);
    let count = 10;
    if (call.argc === 3) {
      count = parseInt64(call.buf, call.s(2), call.e(2));
      if (Number.isNaN(count) || count < -1) return out.error(BAD_COUNT);
      if (count === -1) count = this.entries.length;
    }
    count = Math.min(count, this.entries.length);
    out.array(count);
    for (let i = 0; i < count; i++) {
      const e = this.entries[this.entries.length - 1 - i];
      out.array(6);
      out.int(e.id);
      out.int(e.unixSeconds);
      out.int(e.micros);
      out.array(e.args.length);
      for (const arg of e.args) out.bulkText(arg);
      out.bulkText(e.remote);
      out.bulkText(e.name);
    }
  }
}
