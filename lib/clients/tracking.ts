/**
 * Client-side caching: which client may have which key cached, and telling it when the key changes.
 * `keyChanged` is called for every changed key and is HOT: nothing while nobody tracks. `remember` runs after a read of a tracking client.
 *
 *   GET k by a tracking client --remember--> table k -> client ids          SET k --keyChanged--> `invalidate` to each, forgotten
 *   BCAST clients: prefixes; changed keys gather and go out at the end of the event, one message a prefix
 *
 * Keys are latin1 strings; the database does not matter, as in Redis 7.2 tracking.c.
 */
import { FLAG } from "../commands/table/row.ts";
import { findKeys, KeyList } from "../commands/table/keys.ts";
import { errorLine } from "../resp/errors.ts";
import { Out } from "../resp/out.ts";
import type { Runs } from "./bind.ts";
import { rowOf } from "./bind.ts";
import type { Call } from "./call.ts";
import { CLIENT_EXTRA, FLAG_CACHING, FLAG_PUBSUB, FLAG_TRACKING, type Client } from "./client.ts";
import type { Dispatcher } from "./dispatch.ts";
import { ERR } from "../resp/errors.ts";
import type { ClientSettings } from "./settings.ts";

/** What a client asked for with CLIENT TRACKING ON. */
export interface Tracking {
  /** Client that gets the messages; 0: the client itself. */
  redirect: number;
  broadcast: boolean;
  optIn: boolean;
  optOut: boolean;
  noLoop: boolean;
  /** The client redirected to is gone. */
  broken: boolean;
  prefixes: string[];
}

interface Prefix {
  clients: Set<Client>;
  /** Changed keys and who changed them. */
  keys: Map<string, Client | null>;
}

const SILENT = new Set(["eval_ro", "evalsha_ro", "fcall_ro"]);
const fail = (text: string): Buffer => errorLine(`ERR ${text}`);
const E = {
  twoRedirects: fail("A client can only redirect to a single other client"),
  noRedirect: fail("The client ID you want redirect to does not exist"),
  prefixWants: fail("PREFIX option requires BCAST mode to be enabled"),
  switchBroadcast: fail(
    "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
  ),
  broadcastOpt: fail("OPTIN and OPTOUT are not compatible with BCAST"),
  bothOpt: fail("You can't specify both OPTIN mode and OPTOUT mode"),
  switchOpt: fail(
    "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
  ),
  cachingWants: fail("CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"),
  cachingYes: fail("CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."),
  cachingNo: fail("CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."),
};

export class TrackingTable {
  private readonly dispatcher: Dispatcher;
  private readonly settings: ClientSettings;
  private readonly keys: Map<string, Set<number>>;
  private readonly prefixes: Map<string, Prefix>;
  private readonly found: KeyList;
  /** Tracking clients; 0 makes keyChanged free. */
  clients: number;
  /** Key and client pairs: INFO tracking_total_items. */
  items: number;
  private broadcastPending: boolean;
  private effort: number;
  /** Count of commands at the last flush that was told: FLUSHALL is one, however many databases it empties. */
  private flushedAt: number;

  constructor(dispatcher: Dispatcher, settings: ClientSettings) {
    this.dispatcher = dispatcher;
    this.settings = settings;
    this.keys = new Map();
    this.prefixes = new Map();
    this.found = new KeyList();
    this.clients = 0;
    this.items = 0;
    this.broadcastPending = false;
    this.effort = 0;
    this.flushedAt = -1;
  }

  /** INFO tracking_total_keys and tracking_total_prefixes. */
  get totalKeys(): number {
    return this.keys.size;
  }
  get totalPrefixes(): number {
    return this.prefixes.size;
  }

  // ------------------------------------------------------------------------------------------------ on and off

  private enable(client: Client, wanted: Tracking): void {
    if (client.tracking === null) this.clients++;
    const prefixes = new Set(client.tracking?.prefixes ?? []);
    client.tracking = wanted;
    client.flags |= FLAG_TRACKING;
    if (wanted.broadcast) {
      for (const p of wanted.prefixes.length === 0 ? [""] : wanted.prefixes) {
        prefixes.add(p);
        const state = this.prefixes.get(p);
        if (state === undefined) this.prefixes.set(p, { clients: new Set([client]), keys: new Map() });
        else state.clients.add(client);
      }
    }
    // In the order in which Redis' radix tree keeps them.
    wanted.prefixes = [...prefixes].sort();
    this.dispatcher.observers.tracking = (call) => this.remember(call);
  }

  /** CLIENT TRACKING OFF, RESET, a closed connection. */
  disable(client: Client): void {
    const t = client.tracking;
    if (t === null) return;
    for (const p of t.prefixes) {
      const state = this.prefixes.get(p);
      if (state === undefined) continue;
      state.clients.delete(client);
      if (state.clients.size === 0) this.prefixes.delete(p);
    }
    client.tracking = null;
    client.flags &= ~(FLAG_TRACKING | FLAG_CACHING);
    if (--this.clients === 0) this.dispatcher.observers.tracking = null;
  }

  // ------------------------------------------------------------------------------------------------ reads

  /** After each command while somebody tracks: the keys that a tracking client has read. */
  private remember(call: Call | null): void {
    this.limit();
    if (call === null) return;
    const client = this.dispatcher.current ?? call.client;
    const t = client.tracking;
    const { command } = call;
    if (t === null || t.broadcast || !(command.flags & FLAG.readonly) || command.flags & FLAG.pubsub || SILENT.has(command.name)) return;
    const caching = (client.flags & FLAG_CACHING) !== 0;
    if ((t.optIn && !caching) || (t.optOut && caching)) return;
    const n = findKeys(rowOf(command), call.buf, call.at, 0, call.argc, this.found);
    for (let i = 0; i < n; i++) {
      const key = call.text(this.found.pos[i]);
      const ids = this.keys.get(key);
      if (ids === undefined) this.keys.set(key, new Set([client.id]));
      else if (ids.has(client.id)) continue;
      else ids.add(client.id);
      this.items++;
    }
    this.limit();
  }

  /** Over tracking-table-max-keys: some keys are given up, their clients told. After each read, and by cron for CONFIG SET. */
  limit(): void {
    const most = this.settings.trackingTableMaxKeys;
    if (most === 0 || this.keys.size <= most) return;
    for (let n = 100 * ++this.effort; n > 0; n--) {
      const next = this.keys.keys().next();
      if (next.done) return;
      this.invalidate(next.value, null);
      if (this.keys.size <= most) {
        this.effort = 0;
        return;
      }
    }
  }

  // ------------------------------------------------------------------------------------------------ changes

  /** The key buf[start, end) has changed; `by` is who did it, null: its time was over, or memory was short. HOT: free while nobody tracks. */
  keyChanged(buf: Buffer, start: number, end: number, by: Client | null): void {
    if (this.clients === 0) return;
    this.keyChangedText(buf.toString("latin1", start, end), by);
  }

  keyChangedText(key: string, by: Client | null): void {
    if (this.clients === 0) return;
    for (const [prefix, state] of this.prefixes)
      if (key.startsWith(prefix)) {
        state.keys.set(key, by);
        this.broadcastPending = true;
        this.dispatcher.beforeEnd = () => this.broadcast();
      }
    this.invalidate(key, by);
  }

  private invalidate(key: string, by: Client | null): void {
    const ids = this.keys.get(key);
    if (ids === undefined) return;
    this.keys.delete(key);
    this.items -= ids.size;
    const value = encodeKeys([key]);
    for (const id of ids) {
      const client = this.dispatcher.clients.get(id);
      const t = client?.tracking;
      if (client === undefined || t === null || t === undefined || t.broadcast) continue;
      if (t.noLoop && client === by) continue;
      this.tell(client, value);
    }
  }

  /** Everything is gone (FLUSHALL, FLUSHDB, a full sync): every tracking client is told so, once a command. */
  flushed(): void {
    this.keys.clear();
    this.items = 0;
    if (this.clients === 0 || this.flushedAt === this.dispatcher.totalCommands) return;
    this.flushedAt = this.dispatcher.totalCommands;
    for (const client of this.dispatcher.clients.values()) if (client.tracking !== null) this.tell(client, null);
  }

  /** The count of commands begins anew (CONFIG RESETSTAT). */
  countReset(): void {
    this.flushedAt = -1;
  }

  /** Keys of BCAST clients, gathered since the last event. */
  private broadcast(): void {
    if (!this.broadcastPending) return;
    this.broadcastPending = false;
    for (const state of this.prefixes.values()) {
      if (state.keys.size === 0) continue;
      const all = encodeKeys([...state.keys.keys()].sort());
      for (const client of state.clients) {
        if (!client.tracking!.noLoop) {
          this.tell(client, all);
          continue;
        }
        const others = [...state.keys].filter(([, by]) => by !== client).map(([key]) => key);
        if (others.length > 0) this.tell(client, encodeKeys(others.sort()));
      }
      state.keys.clear();
    }
  }

  /** One message: the keys as an array, or null for all. Redis tracking.c sendTrackingMessage. */
  private tell(client: Client, keys: Buffer | null): void {
    const d = this.dispatcher;
    const t = client.tracking!;
    let target = client;
    if (t.redirect !== 0) {
      const other = d.clients.get(t.redirect);
      if (other === undefined) {
        t.broken = true;
        if (client.out.resp === 3) this.push(client, Buffer.concat([REDIRECTION_BROKEN, Buffer.from(`:${t.redirect}\r\n`)]));
        return;
      }
      target = other;
    }
    const value = keys ?? (client.out.resp === 3 ? NULL3 : NULL2);
    if (target.out.resp === 3) this.push(target, Buffer.concat([INVALIDATE, value]));
    else if (target !== client && target.flags & FLAG_PUBSUB) this.push(target, Buffer.concat([INVALIDATE_CHANNEL, value]));
  }

  private push(client: Client, bytes: Buffer): void {
    this.dispatcher.pushTo(client).pushing(bytes, 0, bytes.length);
    this.dispatcher.wake(client);
  }

  // ------------------------------------------------------------------------------------------------ commands

  commands(): Runs {
    return {
      "client|tracking": (call) => this.trackingCommand(call),
      "client|caching": (call) => this.cachingCommand(call),
      "client|getredir": (call) => call.out.int(call.client.tracking?.redirect ?? -1),
      "client|trackinginfo": (call) => infoCommand(call),
    };
  }

  private trackingCommand(call: Call): void {
    const { client, out } = call;
    const wanted = this.readOptions(call);
    if (wanted === null) return;
    if (call.is(2, "off")) {
      this.disable(client);
      return out.ok();
    }
    if (!call.is(2, "on")) return out.error(ERR.syntax);
    const now = client.tracking;
    if (!wanted.broadcast && wanted.prefixes.length > 0) return out.error(E.prefixWants);
    if (now !== null && now.broadcast !== wanted.broadcast) return out.error(E.switchBroadcast);
    if (wanted.broadcast && (wanted.optIn || wanted.optOut)) return out.error(E.broadcastOpt);
    if (wanted.optIn && wanted.optOut) return out.error(E.bothOpt);
    if (now !== null && ((wanted.optIn && now.optOut) || (wanted.optOut && now.optIn))) return out.error(E.switchOpt);
    if (wanted.broadcast && !separate(call, wanted.prefixes, now?.prefixes ?? [])) return;
    this.enable(client, wanted);
    out.ok();
  }

  private readOptions(call: Call): Tracking | null {
    const { out } = call;
    const t: Tracking = { redirect: 0, broadcast: false, optIn: false, optOut: false, noLoop: false, broken: false, prefixes: [] };
    for (let i = 3; i < call.argc; i++) {
      const more = i + 1 < call.argc;
      if (call.is(i, "redirect") && more) {
        if (t.redirect !== 0) return refuse(call, E.twoRedirects);
        t.redirect = call.integer(++i);
        if (Number.isNaN(t.redirect)) return refuse(call, ERR.notInteger);
        if (!this.dispatcher.clients.has(t.redirect)) return refuse(call, E.noRedirect);
      } else if (call.is(i, "bcast")) t.broadcast = true;
      else if (call.is(i, "optin")) t.optIn = true;
      else if (call.is(i, "optout")) t.optOut = true;
      else if (call.is(i, "noloop")) t.noLoop = true;
      else if (call.is(i, "prefix") && more) t.prefixes.push(call.text(++i));
      else {
        out.error(ERR.syntax);
        return null;
      }
    }
    return t;
  }

  private cachingCommand(call: Call): void {
    const { client, out } = call;
    const t = client.tracking;
    if (t === null) return out.error(E.cachingWants);
    if (call.is(2, "yes")) {
      if (!t.optIn) return out.error(E.cachingYes);
    } else if (call.is(2, "no")) {
      if (!t.optOut) return out.error(E.cachingNo);
    } else return out.error(ERR.syntax);
    client.flags |= FLAG_CACHING;
    client.gates |= CLIENT_EXTRA;
    out.ok();
  }
}

function refuse(call: Call, line: Buffer): null {
  call.out.error(line);
  return null;
}

/** True when no two prefixes of a client begin alike; replies otherwise. */
function separate(call: Call, wanted: string[], has: string[]): boolean {
  const overlap = (a: string, b: string): boolean => a.startsWith(b) || b.startsWith(a);
  const tell = (a: string, which: string, b: string): false => {
    call.out.errorText(`ERR Prefix '${a}' overlaps with ${which} prefix '${b}'. Prefixes for a single client must not overlap.`);
    return false;
  };
  for (let i = 0; i < wanted.length; i++) {
    for (const p of has) if (overlap(p, wanted[i])) return tell(wanted[i], "an existing", p);
    for (let j = i + 1; j < wanted.length; j++) if (overlap(wanted[i], wanted[j])) return tell(wanted[i], "another provided", wanted[j]);
  }
  return true;
}

function infoCommand(call: Call): void {
  const { client, out } = call;
  const t = client.tracking;
  const flags = [t === null ? "off" : "on"];
  const caching = (client.flags & FLAG_CACHING) !== 0;
  if (t?.broadcast) flags.push("bcast");
  if (t?.optIn) flags.push("optin", ...(caching ? ["caching-yes"] : []));
  if (t?.optOut) flags.push("optout", ...(caching ? ["caching-no"] : []));
  if (t?.noLoop) flags.push("noloop");
  if (t?.broken) flags.push("broken_redirect");
  out.map(3);
  out.bulkText("flags");
  out.set(flags.length);
  for (const f of flags) out.bulkText(f);
  out.bulkText("redirect");
  out.int(t?.redirect ?? -1);
  out.bulkText("prefixes");
  out.array(t?.prefixes.length ?? 0);
  for (const p of t?.prefixes ?? []) out.bulkText(p);
}

function encodeKeys(keys: string[]): Buffer {
  const out = new Out();
  out.array(keys.length);
  for (const key of keys) out.bulkText(key);
  return out.take();
}

const INVALIDATE = Buffer.from(">2\r\n$10\r\ninvalidate\r\n");
const INVALIDATE_CHANNEL = Buffer.from("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n");
const REDIRECTION_BROKEN = Buffer.from(">2\r\n$21\r\ntracking-redir-broken\r\n");
const NULL2 = Buffer.from("*-1\r\n");
const NULL3 = Buffer.from("_\r\n");
