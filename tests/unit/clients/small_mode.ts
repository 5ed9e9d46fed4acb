/**
 * The smallest server there is, for tests of lib/clients alone: strings and lists in a JS Map per database, behind real sockets.
 *
 *   await using s = SmallServer.start();   const w = await s.connect();   await w.do("SET", "a", 1)
 *
 * Its commands follow the rules that real ones must: they tell the service what changed, and block only when they may.
 */
import { FLAG } from "../../../lib/commands/table/row.ts";
import { rowTable } from "../../../lib/commands/table/index.ts";
import { bindRows, type Runs } from "../../../lib/clients/bind.ts";
import { readTimeoutMs } from "../../../lib/clients/blocking.ts";
import type { Call } from "../../../lib/clients/call.ts";
import { type Client, FLAG_DENY_BLOCKING } from "../../../lib/clients/client.ts";
import { GATE_READONLY } from "../../../lib/clients/command.ts";
import { plainMode, type Mode } from "../../../lib/clients/mode.ts";
import { Service } from "../../../lib/clients/service.ts";
import { type ClientSettings, defaultSettings } from "../../../lib/clients/settings.ts";
import type { Log } from "../../../lib/log/log.ts";
import { listen, type Listener } from "../../../lib/net/listen.ts";
import { ERR } from "../../../lib/resp/errors.ts";
import { tempDir } from "../../support/programs.ts";
import { Wire } from "../../support/wire.ts";

type Value = Buffer | Buffer[];
const LIST = 1;

export class SmallServer {
  readonly service: Service;
  readonly mode: Mode;
  readonly settings: ClientSettings;
  readonly dbs: Map<string, Value>[];
  readonly logged: string[];
  readonly path: string;
  readonly port: number;
  /** What would have gone to replicas: one text a command, MULTI and EXEC around a unit of several. */
  readonly stream: string[];
  private unit: string[];
  private units: number;
  private readonly listeners: Listener[];
  private readonly wires: Wire[];
  private readonly expired: Set<string>;

  constructor(settings: Partial<ClientSettings>) {
    this.settings = { ...defaultSettings(), ...settings };
    this.dbs = Array.from({ length: 16 }, () => new Map());
    this.logged = [];
    this.stream = [];
    this.unit = [];
    this.units = 0;
    this.wires = [];
    this.expired = new Set();
    this.mode = this.makeMode();
    this.service = new Service(this.mode, this.settings, this.makeLog());
    const left = bindRows(this.service.dispatcher, rowTable("server").rows, { ...this.service.commands(), ...this.commands() });
    if (left.length > 0) throw new Error(`no rows for ${left.join(" ")}`);
    this.path = `${tempDir()}/s`;
    const common = { accept: () => null as unknown as Client, handler: this.service.ingest.handler };
    this.listeners = [listen({ hostname: "127.0.0.1", port: 0, ...common }), listen({ path: this.path, ...common })];
    this.port = this.listeners[0].port;
  }

  static start(settings: Partial<ClientSettings> = {}): SmallServer {
    return new SmallServer(settings);
  }

  async connect(resp: 2 | 3 = 2, unix = false): Promise<Wire> {
    const wire = await Wire.connect(this.port, unix ? this.path : undefined);
    this.wires.push(wire);
    if (resp === 3) await wire.do("HELLO", 3);
    return wire;
  }

  /** Marks a key as past its time; it stays until somebody deletes it. */
  expire(key: string): void {
    this.expired.add(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const w of this.wires) w.close();
    for (const l of this.listeners) l.close();
    for (const c of this.service.dispatcher.clients.values()) c.conn?.terminate();
  }

  private makeLog(): Log {
    const at = (level: string, text: string): void => void this.logged.push(`${level}: ${text}`);
    const log = {
      target: { file: "", level: "debug", role: "M", pid: 1 },
      debug: (t: string) => at("debug", t),
      verbose: (t: string) => at("verbose", t),
      notice: (t: string) => at("notice", t),
      warning: (t: string) => at("warning", t),
      at,
      raw: (t: string) => at("raw", t),
      also() {},
    };
    return log as unknown as Log;
  }

  private makeMode(): Mode {
    return {
      ...plainMode(),
      select: (client, index) => {
        if (index < 0 || index > 15) return false;
        client.dbIndex = index;
        client.keyspace = this.dbs[index];
        return true;
      },
      keyType: (db, key) => {
        const v = this.dbs[db].get(key);
        return v === undefined ? -1 : Array.isArray(v) ? LIST : 0;
      },
      keyExpired: (_db, key) => this.expired.has(key),
      refuse: (call, bits) => {
        const flags = call.command.flags | (call.command.name === "exec" ? (call.client.multi?.flags ?? 0) : 0);
        return bits & GATE_READONLY && flags & FLAG.write ? ERR.readonly : null;
      },
      changed: (call) => {
        const all = call.instead ?? [call.buf.subarray(call.start, call.end)];
        for (const b of all) this.unit.push(words(b));
      },
      published: (call) => void this.unit.push(words(call.buf.subarray(call.start, call.end))),
      beginUnit: () => void this.units++,
      endUnit: () => void this.units--,
      afterUnit: () => this.endOfUnit(),
    };
  }

  private endOfUnit(): void {
    if (this.unit.length > 1) this.stream.push("MULTI", ...this.unit, "EXEC");
    else this.stream.push(...this.unit);
    this.unit = [];
  }

  private touched(call: Call, i: number): void {
    this.service.keyChanged(call.client.dbIndex, call.buf, call.s(i), call.e(i));
  }

  private commands(): Runs {
    const db = (call: Call): Map<string, Value> => call.client.keyspace as Map<string, Value>;
    return {
      get: (call) => {
        const v = db(call).get(call.text(1));
        if (v === undefined) call.out.nil();
        else if (Array.isArray(v)) call.out.error(ERR.wrongType);
        else call.out.bulkBuffer(v);
      },
      set: (call) => {
        db(call).set(call.text(1), call.copy(2));
        call.dirty++;
        this.touched(call, 1);
        call.out.ok();
      },
      del: (call) => {
        let n = 0;
        for (let i = 1; i < call.argc; i++) {
          if (!db(call).delete(call.text(i))) continue;
          n++;
          this.touched(call, i);
        }
        call.dirty += n;
        call.out.int(n);
      },
      rpush: (call) => {
        const key = call.text(1);
        const list = (db(call).get(key) ?? []) as Buffer[];
        for (let i = 2; i < call.argc; i++) list.push(call.copy(i));
        db(call).set(key, list);
        call.dirty++;
        this.touched(call, 1);
        this.service.blocking.keyReady(call.client.dbIndex, call.buf, call.s(1), call.e(1));
        call.out.int(list.length);
      },
      blpop: (call) => this.blpop(call),
      blmove: (call) => this.blmove(call),
    };
  }

  private blpop(call: Call): void {
    const timeoutMs = readTimeoutMs(call, call.argc - 1);
    if (Number.isNaN(timeoutMs)) return;
    const keys: string[] = [];
    for (let i = 1; i < call.argc - 1; i++) keys.push(call.text(i));
    for (const key of keys) {
      if (this.mode.keyType(call.client.dbIndex, key) === 0) return call.out.error(ERR.wrongType);
      const got = this.take(call, key);
      if (got === null) continue;
      call.out.array(2);
      call.out.bulkText(key);
      call.out.bulkBuffer(got);
      call.rewrite("LPOP", key);
      return;
    }
    if (call.client.flags & FLAG_DENY_BLOCKING) return call.out.nilArray();
    this.service.blocking.block(call, keys, LIST, timeoutMs);
  }

  private blmove(call: Call): void {
    const got = this.take(call, call.text(1));
    if (got === null) return this.service.blocking.block(call, [call.text(1)], LIST, 0);
    const to = call.text(2);
    const map = call.client.keyspace as Map<string, Value>;
    map.set(to, [...((map.get(to) ?? []) as Buffer[]), got]);
    this.service.blocking.keyReadyText(call.client.dbIndex, to);
    call.rewrite("LMOVE", call.text(1), to);
    call.out.bulkBuffer(got);
  }

  private take(call: Call, key: string): Buffer | null {
    const map = call.client.keyspace as Map<string, Value>;
    const list = map.get(key);
    if (!Array.isArray(list)) return null;
    const got = list.shift()!;
    if (list.length === 0) map.delete(key);
    this.service.watching.touchKey(call.client.dbIndex, key);
    return got;
  }
}

/** The arguments of one RESP array, blank between them. */
function words(bytes: Buffer): string {
  return bytes
    .toString("latin1")
    .split("\r\n")
    .filter((_, i) => i % 2 === 0 && i > 0)
    .join(" ")
    .trim();
}
