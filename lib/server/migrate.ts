/**
 * MIGRATE: keys go to another server as RESTOREs, and from here when that has taken them. Cold. Redis cluster.c migrateCommand.
 *
 *   MIGRATE --block, hold writes--> dump, send, a window at a time --all answered--> the command runs again: deletes, replies
 *
 * The original stands still until the other side has answered. Here the loop goes on: reads are served, and whatever would change data waits
 * (a pause of its own), so what is deleted at the end is what was sent. Links are kept for ten seconds for the next MIGRATE, as there.
 * Leaves out MIGRATE inside EXEC and scripts, which cannot wait: it is refused there.
 */
import { parseInt64 } from "../bytes/number.ts";
import { BLOCKED_ON_TRANSFER, saveCall } from "../clients/blocking.ts";
import type { Call } from "../clients/call.ts";
import { FLAG_CLOSE_ASAP, FLAG_DENY_BLOCKING, type Client, type Queued } from "../clients/client.ts";
import type { Run } from "../clients/command.ts";
import { PAUSE_BY_MIGRATE, PAUSE_CLIENT_WRITE, PAUSE_EVICT, PAUSE_EXPIRE, PAUSE_REPLICA } from "../clients/pause.ts";
import { keyspaceOf, touched } from "../commands/effects.ts";
import { NOTIFY_GENERIC } from "../config/keyspace_events.ts";
import { Link } from "../link/link.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { ReplyError, type Reply } from "../resp/reply.ts";
import { expireOf } from "../store/entry.ts";
import type { Keyspace } from "../store/keyspace.ts";
import { clock, readClock } from "../time/clock.ts";
import { dumpEntry } from "./persistence/dump.ts";
import type { Server } from "./server.ts";

const DEFAULT_TIMEOUT_MS = 1000;
/** Links without work are kept this long, and this many of them. */
const KEEP_MS = 10_000;
const KEEP_LINKS = 64;
/** Values are dumped ahead of the other side's answers up to this many bytes and keys. */
const WINDOW_BYTES = 1 << 20;
const WINDOW_KEYS = 64;

const NOT_HERE = errorLine("ERR MIGRATE waits for another server, which is not possible inside a transaction or a script");
const KEY_NOT_EMPTY = errorLine("ERR When using MIGRATE KEYS option, the key argument must be set to the empty string");
const NO_CONNECTION = errorLine("IOERR error or timeout connecting to the client");
/** A refusal shows only when the original writes. */
const REFUSED = errorLine("IOERR error or timeout writing to target instance");
const LOST = errorLine("IOERR error or timeout reading to target instance");

interface Options {
  copy: boolean;
  replace: boolean;
  /** AUTH's words; empty: none. */
  auth: Buffer[];
  /** Arguments that name keys. */
  firstKey: number;
  keyCount: number;
  db: number;
  timeoutMs: number;
}

interface Target {
  link: Link;
  /** The database selected there; -1: not known. */
  db: number;
  usedMs: number;
}

/** One MIGRATE on its way. */
interface Job {
  client: Client;
  saved: Queued;
  options: Options;
  host: string;
  port: number;
  keyspace: Keyspace;
  /** Arguments that name keys which were there. */
  keys: number[];
  /** Keys sent; replies to RESTOREs; any replies. */
  sent: number;
  answered: number;
  replies: number;
  taken: number[];
  error: Buffer | null;
  retried: boolean;
  over: boolean;
  timer: ReturnType<typeof setTimeout> | null;
  bytesOut: number;
}

/** The options; null when a reply was given. */
function readOptions(c: Call): Options | null {
  const o: Options = { copy: false, replace: false, auth: [], firstKey: 3, keyCount: 1, db: 0, timeoutMs: 0 };
  const refuse = (line: Buffer): null => {
    c.out.error(line);
    return null;
  };
  for (let i = 6; i < c.argc; i++) {
    const more = c.argc - 1 - i;
    if (c.is(i, "copy")) o.copy = true;
    else if (c.is(i, "replace")) o.replace = true;
    else if (c.is(i, "auth") && more >= 1) o.auth = [c.copy(++i)];
    else if (c.is(i, "auth2") && more >= 2) o.auth = [c.copy(++i), c.copy(++i)];
    else if (c.is(i, "keys")) {
      if (c.len(3) !== 0) return refuse(KEY_NOT_EMPTY);
      o.firstKey = i + 1;
      o.keyCount = more;
      break;
    } else return refuse(ERR.syntax);
  }
  const timeout = c.integerOrFail(5);
  if (Number.isNaN(timeout)) return null;
  o.db = c.integerOrFail(4);
  if (Number.isNaN(o.db)) return null;
  o.timeoutMs = timeout <= 0 ? DEFAULT_TIMEOUT_MS : Math.min(timeout, 0x7fffffff);
  return o;
}

export class Migrations {
  private readonly server: Server;
  private readonly targets: Map<string, Target>;
  private job: Job | null;

  constructor(server: Server) {
    this.server = server;
    this.targets = new Map();
    this.job = null;
    server.cronJobs.push((nowMs) => this.dropOld(nowMs));
  }

  /** INFO migrate_cached_sockets. */
  get cachedLinks(): number {
    return this.targets.size;
  }

  runs(): Record<string, Run> {
    return { migrate: (c) => this.run(c) };
  }

  private run(c: Call): void {
    const { job } = this;
    if (job !== null && job.over && job.client === c.client) {
      this.job = null;
      return finish(c, job);
    }
    const options = readOptions(c);
    if (options === null) return;
    const keyspace = keyspaceOf(c);
    const keys: number[] = [];
    for (let i = options.firstKey; i < options.firstKey + options.keyCount; i++)
      if (keyspace.lookupRead(c.buf, c.s(i), c.e(i)) !== 0) keys.push(i);
    if (keys.length === 0) return c.out.status("NOKEY");
    if (c.client.flags & FLAG_DENY_BLOCKING) return c.out.error(NOT_HERE);
    const saved = saveCall(c);
    const port = parseInt64(c.buf, c.s(2), c.e(2));
    this.job = {
      client: c.client,
      saved,
      options,
      host: c.text(1),
      port: Number.isNaN(port) ? 0 : port,
      keyspace,
      keys,
      sent: 0,
      answered: 0,
      replies: 0,
      taken: [],
      error: null,
      retried: false,
      over: false,
      timer: null,
      bytesOut: 0,
    };
    const { service } = this.server;
    const held = PAUSE_CLIENT_WRITE | PAUSE_EXPIRE | PAUSE_EVICT | (this.server.role() === "replica" ? PAUSE_REPLICA : 0);
    service.pause.begin(PAUSE_BY_MIGRATE, Infinity, held);
    service.blocking.blockOn(c.client, BLOCKED_ON_TRANSFER, 0).saved = saved;
    this.start(this.job);
  }

  // ------------------------------------------------------------------------------------------------ the link

  /** Takes the link that is there, or makes one, and sends. */
  private start(job: Job): void {
    const name = `${job.host}:${job.port}`;
    const known = this.targets.get(name);
    if (known !== undefined) {
      known.usedMs = clock.nowMs;
      return this.greet(job, known);
    }
    if (job.port <= 0 || job.port > 65535) return queueMicrotask(() => this.end(job, REFUSED));
    if (this.targets.size >= KEEP_LINKS) this.drop(this.targets.keys().next().value!);
    const target: Target = { link: null as unknown as Link, db: -1, usedMs: clock.nowMs };
    target.link = new Link({
      hostname: job.host,
      port: job.port,
      timeoutMs: job.options.timeoutMs,
      connected: () => {
        if (this.job === job && !job.over) this.greet(job, target);
      },
      closed: (link, error) => {
        if (this.targets.get(name) === target) this.targets.delete(name);
        if (link.wasConnected || this.job !== job) return;
        this.end(job, (error as { code?: string } | null)?.code === "ECONNREFUSED" ? REFUSED : NO_CONNECTION);
      },
    });
    this.targets.set(name, target);
  }

  /** AUTH and SELECT, as far as needed. Unlike the original nothing is sent before they have succeeded. */
  private greet(job: Job, target: Target): void {
    const { options } = job;
    const words: (string | number | Buffer)[][] = [];
    if (options.auth.length > 0) words.push(["AUTH", ...options.auth]);
    if (target.db !== options.db) words.push(["SELECT", options.db]);
    let left = words.length;
    if (left === 0) return this.sendMore(job, target);
    for (const w of words)
      target.link.send(w, (reply) => {
        if (!this.goesOn(job, target, reply)) return;
        if (--left > 0) return;
        if (job.error !== null) return this.end(job, null);
        target.db = options.db;
        this.sendMore(job, target);
      });
    this.arm(job, target);
  }

  /** Dumps and sends until the window is full. */
  private sendMore(job: Job, target: Target): void {
    const { config } = this.server;
    const { keyspace, saved, options } = job;
    const { out } = target.link.conn;
    readClock();
    while (job.sent < job.keys.length && job.sent - job.answered < WINDOW_KEYS && out.pendingBytes() < WINDOW_BYTES) {
      const i = job.keys[job.sent];
      const key = saved.buf.subarray(saved.at[i * 2], saved.at[i * 2 + 1]);
      const ref = keyspace.findRaw(saved.buf, saved.at[i * 2], saved.at[i * 2 + 1]);
      const expireMs = ref === 0 ? -1 : expireOf(ref);
      if (ref === 0 || (expireMs >= 0 && expireMs < clock.nowMs)) {
        // Its time has come since: it is not sent, and goes by itself.
        job.keys.splice(job.sent, 1);
        continue;
      }
      const ttl = expireMs < 0 ? 0 : Math.max(1, expireMs - clock.nowMs);
      const payload = dumpEntry(ref, config.number("rdb-version"), config.bool("rdbcompression"));
      const words: (string | number | Buffer)[] = ["RESTORE", key, ttl, payload];
      if (options.replace) words.push("REPLACE");
      job.sent++;
      target.link.send(words, (reply) => {
        if (!this.goesOn(job, target, reply)) return;
        if (!(reply instanceof ReplyError)) job.taken.push(i);
        job.answered++;
        this.sendMore(job, target);
      });
    }
    if (job.keys.length === job.answered) return this.end(job, null);
    this.arm(job, target);
  }

  /** Gives up when for the given time no reply came and no byte left. */
  private arm(job: Job, target: Target): void {
    if (job.timer !== null) clearTimeout(job.timer);
    // What leaves now is no progress that the next look may count.
    target.link.conn.flush();
    job.bytesOut = target.link.conn.bytesOut;
    job.timer = setTimeout(() => {
      if (job.over || this.job !== job) return;
      if (target.link.conn.bytesOut !== job.bytesOut) return this.arm(job, target);
      job.retried = true;
      target.link.close();
      this.end(job, LOST);
    }, job.options.timeoutMs);
  }

  /** Looks at a reply, undefined when the link is lost. False: nothing more to do with it. */
  private goesOn(job: Job, target: Target, reply: Reply | undefined): boolean {
    if (job.over || this.job !== job) return false;
    if (reply === undefined) {
      this.lost(job);
      return false;
    }
    job.replies++;
    if (reply instanceof ReplyError) {
      target.db = -1;
      job.error ??= errorLine(`ERR Target instance replied with error: ${reply.text}`);
    }
    return true;
  }

  /** The link broke. One that had been kept may have been closed long ago: then once again, if nothing can have been done there. */
  private lost(job: Job): void {
    if (job.replies > 0 || job.retried) return this.end(job, LOST);
    job.retried = true;
    job.sent = 0;
    // The other callbacks of the lost link come first, and find nothing to do.
    const { replies } = job;
    queueMicrotask(() => {
      if (this.job === job && !job.over && job.replies === replies) this.start(job);
    });
  }

  /** All is answered, or nothing more is to be had: the command runs again, deletes and replies. */
  private end(job: Job, error: Buffer | null): void {
    if (job.over || this.job !== job) return;
    job.over = true;
    job.error ??= error;
    if (job.timer !== null) clearTimeout(job.timer);
    const { service, dispatcher } = this.server;
    service.pause.end(PAUSE_BY_MIGRATE);
    readClock();
    // A client that has left meanwhile changes nothing: what is there is deleted here.
    if (job.client.flags & FLAG_CLOSE_ASAP) dispatcher.executeAgain(job.client, job.saved);
    else service.blocking.runAgain(job.client);
    this.job = null;
    dispatcher.host.afterUnit();
    dispatcher.endEvent();
  }

  // ------------------------------------------------------------------------------------------------ links that wait

  private drop(name: string): void {
    const target = this.targets.get(name)!;
    this.targets.delete(name);
    target.link.close();
  }

  private dropOld(nowMs: number): void {
    for (const [name, target] of this.targets) if (this.job === null && nowMs - target.usedMs > KEEP_MS) this.drop(name);
  }
}

/** The second run: what the other side has is deleted here, which is what replicas are told, and the client gets its reply. */
function finish(c: Call, job: Job): void {
  if (!job.options.copy && job.taken.length > 0) {
    const ks = keyspaceOf(c);
    for (const i of job.taken) if (ks.delete(c.buf, c.s(i), c.e(i))) touched(c, i, NOTIFY_GENERIC, "del");
    if (c.dirty > 0) c.rewrite("DEL", ...job.taken.map((i) => c.view(i)));
  }
  if (job.error !== null) c.out.error(job.error);
  else c.out.ok();
}
