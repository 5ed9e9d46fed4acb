/**
 * A Redis Cluster behind mode redis (redis-cluster): which node serves a request, and what follows when that changes. route() and takes() are
 * WARM, the rest COLD.
 *
 *   CLUSTER SLOTS of any node -> slots -> node's shared connection       MOVED, ASK, a lost node -> asked anew, requests sent again
 *
 * MGET, MSET, DEL, UNLINK, EXISTS, TOUCH over several nodes are split and joined (gather.ts), DBSIZE, KEYS, FLUSHALL, SCAN and SCRIPT LOAD go to
 * every master; other requests with keys of several slots get -CROSSSLOT. Leaves out: redirections inside a transaction or on another
 * connection of a client's own, which the client sees; reading from replicas.
 */
import { keySlot, SLOTS } from "../../bytes/crc16.ts";
import { findKeys, KeyList } from "../../commands/table/keys.ts";
import { NO_KEYS, type Row } from "../../commands/table/row.ts";
import type { Address } from "../../fleet/hello.ts";
import { showAddress } from "../../fleet/hello.ts";
import { Link } from "../../link/link.ts";
import type { Request } from "../../resp/request.ts";
import type { Reply } from "../../resp/reply.ts";
import { encodeRequest } from "../core/request_scan.ts";
import { learntServer } from "../learnt.ts";
import type { Server } from "../state.ts";
import { nowMs } from "../timers.ts";
import type { Board } from "./board.ts";
import type { RedisClient } from "./client.ts";
import { Gather, scanCursor, type Join } from "./gather.ts";
import type { Pool } from "./pool.ts";
import { LOST, UNAVAILABLE, type Kept, type Redirector, type SharedUpstream } from "./shared.ts";
import { word } from "./words.ts";

/** Between two looks at the map, in peace and while something is wrong. */
const PEACE_MS = 1000;
const TROUBLE_MS = 100;
const ASK_MS = 500;
const NODES_MAX = 1000;

const CROSSSLOT = Buffer.from("-CROSSSLOT Keys in request don't hash to the same slot\r\n");
const ASKING = encodeRequest(["ASKING"]);

const SPLIT: Record<string, Join["kind"]> = {
  mget: "place", mset: "all", del: "sum", unlink: "sum", exists: "sum", touch: "sum",
}; // prettier-ignore
const EVERYWHERE: Record<string, Join["kind"]> = {
  dbsize: "sum", keys: "concat", flushall: "all", flushdb: "all", "script|load": "all", "script|flush": "all", "function|load": "all",
  "function|delete": "all", "function|flush": "all",
}; // prettier-ignore

/** A request that waits for the map to change, and for how long it has. */
interface Waiting {
  pool: Pool;
  request: Kept;
  sinceMs: number;
}

export class Cluster implements Redirector {
  private readonly board: Board;
  private readonly known: Map<string, Server>;
  private slots: (Server | null)[];
  private masters: Server[];
  private waiting: Waiting[];
  private readonly keys: KeyList;
  private link: Link | null;
  private asked: number;
  private nextMs: number;
  private troubleMs: number;

  constructor(board: Board) {
    this.board = board;
    this.known = new Map();
    this.slots = new Array<Server | null>(SLOTS).fill(null);
    this.masters = [];
    this.waiting = [];
    this.keys = new KeyList();
    this.link = null;
    this.asked = 0;
    this.nextMs = 0;
    this.troubleMs = 0;
    for (const address of board.backend.config.cluster) this.server(address);
  }

  get isKnown(): boolean {
    return this.masters.length > 0;
  }
  serves(server: Server): boolean {
    return this.masters.includes(server);
  }
  private server(address: Address): Server {
    const name = showAddress(address);
    let s = this.known.get(name);
    if (s === undefined) this.known.set(name, (s = learntServer(this.board.backend, address)));
    return s;
  }

  // ---- where requests go

  /** The slot of a request's keys; -1 without keys, -2 when they are of several. */
  slotOf(row: Row | null, request: Request): number {
    if (row === null || row.keysKind === NO_KEYS)
      return row !== null && /^s(subscribe|publish)$/.test(row.name) ? slotOfArg(request, 1) : -1;
    const { keys } = this;
    findKeys(row, request.buf, request.at, 0, request.argc, keys);
    let slot = -1;
    for (let i = 0; i < keys.count; i++) {
      const k = slotOfArg(request, keys.pos[i]);
      if (slot >= 0 && k !== slot) return -2;
      slot = k;
    }
    return slot;
  }
  /** The node for a slot; any of the masters, always the same for a client, without one. */
  serverOf(slot: number, client: RedisClient): Server | null {
    if (slot >= 0) return this.slots[slot]!;
    return this.masters.length === 0 ? null : this.masters[client.id % this.masters.length]!;
  }
  route(client: RedisClient, row: Row, request: Request): SharedUpstream | null {
    const server = this.serverOf(this.slotOf(row, request), client);
    const up = server === null ? null : this.upTo(client.pool, server);
    return up ?? client.hold();
  }
  /** The connection to a node, started when it is not; null while it is lost. */
  private upTo(pool: Pool, server: Server): SharedUpstream | null {
    const up = pool.node(server);
    if (up.isUsable) return up;
    if (up.state === LOST && up.kept.length > 0) return null;
    up.connect(server);
    return up;
  }

  /** Requests for several nodes, and those that cannot be for one: true when it has seen to it. False and client.stop set: it waits. */
  takes(client: RedisClient, row: Row, request: Request, now: number): boolean {
    const everywhere = EVERYWHERE[row.name];
    if (everywhere !== undefined) return this.toAll(client, row, request, everywhere, now);
    if (row.name === "scan" && request.argc > 1) return this.scan(client, row, request, now);
    if (row.keysKind === NO_KEYS || this.slotOf(row, request) !== -2) return false;
    const kind = SPLIT[row.name];
    if (kind === undefined || (row.name === "mset" && request.argc % 2 === 0)) {
      client.tell(CROSSSLOT);
      return true;
    }
    return this.split(client, row, request, kind, now);
  }

  private split(client: RedisClient, row: Row, request: Request, kind: Join["kind"], now: number): boolean {
    const step = row.name === "mset" ? 2 : 1;
    const parts = new Map<number, { words: Buffer[]; places: number[] }>();
    const { buf, at, argc } = request;
    const arg = (i: number): Buffer => buf.subarray(at[2 * i], at[2 * i + 1]);
    for (let i = 1; i < argc; i += step) {
      const slot = slotOfArg(request, i);
      let part = parts.get(slot);
      if (part === undefined) parts.set(slot, (part = { words: [arg(0)], places: [] }));
      part.places.push(i - 1);
      for (let j = 0; j < step; j++) part.words.push(arg(i + j));
    }
    const ups: SharedUpstream[] = [];
    for (const slot of parts.keys()) {
      const server = this.slots[slot]!;
      const up = server === null ? null : this.upTo(client.pool, server);
      if (up === null) return this.holdIt(client);
      ups.push(up);
    }
    const list = [...parts.values()];
    const join: Join = kind === "place" ? { kind, places: list.map((p) => p.places) } : ({ kind } as Join);
    const gather = new Gather(client, client.next++, join, list.length);
    list.forEach((p, i) => this.sendTo(ups[i]!, gather, i, row, encode(p.words), now));
    return true;
  }
  private holdIt(client: RedisClient): boolean {
    client.hold();
    return false;
  }
  private toAll(client: RedisClient, row: Row, request: Request, kind: Join["kind"], now: number): boolean {
    const ups = this.masters.map((s) => this.upTo(client.pool, s));
    if (ups.length === 0 || ups.includes(null)) return this.holdIt(client);
    const bytes = copyOf(request);
    const gather = new Gather(client, client.next++, { kind } as Join, ups.length);
    ups.forEach((up, i) => this.sendTo(up!, gather, i, row, bytes, now));
    return true;
  }
  private scan(client: RedisClient, row: Row, request: Request, now: number): boolean {
    const text = word(request, 1);
    if (!/^\d{1,30}$/.test(text) || this.masters.length === 0) return false;
    const nodes = this.masters.length;
    const { node, inner } = scanCursor(BigInt(text), nodes);
    const up = this.upTo(client.pool, this.masters[node]!);
    if (up === null) return this.holdIt(client);
    const words = Array.from({ length: request.argc }, (_, i) => Buffer.from(i === 1 ? String(inner) : word(request, i), "latin1"));
    const gather = new Gather(client, client.next++, { kind: "scan", node, nodes }, 1);
    this.sendTo(up, gather, 0, row, encode(words), now);
    return true;
  }
  private sendTo(up: SharedUpstream, owner: Gather, part: number, row: Row, bytes: Buffer, now: number): void {
    up.append(owner, part, this.board.classes[row.id], row.id, bytes, 0, bytes.length, now);
  }

  // ---- when nodes change

  redirected(from: SharedUpstream, request: Kept, error: string): void {
    const m = /^-(MOVED|ASK) (\d+) (.*):(\d+)/.exec(error);
    this.trouble();
    if (m === null) return void this.waiting.push({ pool: from.pool, request, sinceMs: request.atMs });
    const host = m[3]! === "" ? (from.server?.host ?? "") : m[3]!;
    const server = this.server({ host, port: Number(m[4]) });
    if (m[1] === "MOVED") {
      this.slots[Number(m[2])] = server;
      if (!this.masters.includes(server)) this.masters = [...this.masters, server];
    }
    const up = from.pool.node(server);
    if (!up.isUsable) up.connect(server);
    if (m[1] === "ASK") up.appendOurs(ASKING);
    up.appendKept(request);
  }

  private trouble(): void {
    this.troubleMs = nowMs();
    this.nextMs = Math.min(this.nextMs, this.troubleMs + TROUBLE_MS);
  }

  /** Ten times a second: the map is looked at, what waits is tried again. */
  tick(now: number): void {
    const pending = this.waiting.length > 0 || this.board.held.size > 0 || this.hasLost();
    if (pending) this.trouble();
    if (now >= this.nextMs && this.link === null) this.refresh();
    if (!pending) return;
    this.collect();
    const { holdMs } = this.board.backend.config;
    for (const w of this.waiting.splice(0)) {
      if (w.request.owner.isOver) continue;
      const up = this.upOf(w);
      if (up !== null) up.appendKept(w.request);
      else if (now - w.sinceMs > holdMs) w.request.owner.answer(w.request.number, UNAVAILABLE);
      else this.waiting.push(w);
    }
    this.board.releaseHeld();
    this.board.flushClients();
  }
  private hasLost(): boolean {
    for (const up of this.board.allShared()) if (up.state === LOST && up.kept.length > 0) return true;
    return false;
  }
  /** What nodes that serve nothing any more have left. */
  private collect(): void {
    for (const up of this.board.allShared()) {
      if (up.role.kind !== "node" || up.state !== LOST || up.kept.length === 0 || this.serves(up.role.server)) continue;
      for (const request of up.kept.splice(0)) this.waiting.push({ pool: up.pool, request, sinceMs: up.lostSinceMs });
    }
  }
  private upOf(w: Waiting): SharedUpstream | null {
    const bytes = w.request.bytes.length === 1 ? w.request.bytes[0]! : Buffer.concat(w.request.bytes);
    const { request, table } = this.board;
    if (request.read(bytes, 0, bytes.length) !== 1) return null;
    const slot = this.slotOf(table.all[w.request.row] ?? null, request);
    const server = slot >= 0 ? this.slots[slot]! : (this.masters[0] ?? null);
    return server === null ? null : this.upTo(w.pool, server);
  }

  /** Asks a node, another one each time, for the map. */
  private refresh(): void {
    const all = [...this.known.values()];
    const server = all[this.asked++ % all.length]!;
    this.nextMs = nowMs() + (nowMs() - this.troubleMs < 5000 || !this.isKnown ? TROUBLE_MS : PEACE_MS);
    const link: Link = new Link({
      ...this.board.where(server),
      timeoutMs: ASK_MS,
      closed: () => {
        if (this.link === link) this.link = null;
      },
    });
    this.link = link;
    const timer = setTimeout(() => link.close(), ASK_MS);
    const { auth, probeAuth } = this.board.backend.config;
    const login = probeAuth ?? auth;
    if (login !== null) link.send(["AUTH", ...login], () => {});
    link.send(["CLUSTER", "SLOTS"], (reply) => {
      clearTimeout(timer);
      if (Array.isArray(reply)) this.learn(reply, server.host);
      link.close();
    });
  }
  private learn(reply: Reply[], askedHost: string): void {
    const slots = new Array<Server | null>(SLOTS).fill(null);
    const masters = new Set<Server>();
    for (const range of reply) {
      if (!Array.isArray(range) || !Array.isArray(range[2])) continue;
      for (const [i, n] of range.slice(2).entries()) {
        if (!Array.isArray(n) || this.known.size >= NODES_MAX) continue;
        const server = this.server({ host: String(n[0] || askedHost), port: Number(n[1]) });
        if (i > 0) continue;
        masters.add(server);
        for (let s = Number(range[0]); s <= Number(range[1]); s++) slots[s] = server;
      }
    }
    if (masters.size === 0) return;
    const first = !this.isKnown;
    const left = this.masters.filter((s) => !masters.has(s));
    this.slots = slots;
    this.masters = [...masters];
    for (const server of left) this.board.leaveNode(server);
    if (first) this.board.say(5, `cluster of ${masters.size} masters is served`);
    if (first || left.length > 0) this.board.releaseHeld();
  }
  stop(): void {
    this.link?.close();
  }
}

function slotOfArg(request: Request, i: number): number {
  return i < request.argc ? keySlot(request.buf, request.at[2 * i], request.at[2 * i + 1]) : -1;
}
function copyOf(request: Request): Buffer {
  return Buffer.from(request.verbatim ? request.buf.subarray(request.start, request.end) : request.buf);
}
function encode(words: readonly Buffer[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${words.length}\r\n`)];
  for (const w of words) parts.push(Buffer.from(`$${w.length}\r\n`), w, Buffer.from("\r\n"));
  return Buffer.concat(parts);
}
