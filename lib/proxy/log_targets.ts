/** Where a proxy's log lines go: `log` targets of global and of its own, each with its level bounds, format and transport. WARM. */
import { hostname } from "node:os";
import { writeSync } from "node:fs";
import type { GlobalConfig, LogTargetConfig, RingConfig } from "../config/haproxy_model.ts";
import { BUILT_IN_RING, newRing } from "../config/haproxy_ring.ts";
import { syslogLine, type SyslogFormat } from "../log/haproxy_line.ts";
import { ffiProblem, sendDatagram } from "../os/ffi.ts";
import { udpSink, type DatagramSink } from "../net/datagram.ts";

/** One target, opened once a process however many sections name it. */
interface Target {
  config: LogTargetConfig;
  format: SyslogFormat;
  send(line: string): void;
}

export class LogTargets {
  private readonly global: GlobalConfig;
  private readonly open: Map<string, DatagramSink>;
  private readonly host: string;
  /** The ring sections: the latest lines of each (show events). */
  readonly rings: Map<string, Ring>;
  /** Lines that could not be sent (show info: DroppedLogs). */
  dropped: number;

  constructor(global: GlobalConfig, rings: readonly RingConfig[] = []) {
    this.global = global;
    const builtIn = { ...newRing(BUILT_IN_RING), description: "in-memory ring buffer" };
    this.rings = new Map([builtIn, ...rings].map((r) => [r.name, new Ring(r)]));
    this.open = new Map();
    this.host = global.logSendHostname === null ? "" : global.logSendHostname || hostname();
    this.dropped = 0;
  }

  /** The targets of one section as a function that logs. `tag` "" is the global one. */
  logger(configs: LogTargetConfig[], tag: string): Logger {
    const formatOf = (c: LogTargetConfig): SyslogFormat =>
      c.kind === "ring" ? (this.rings.get(c.path)?.format ?? "raw") : (c.format ?? (c.kind === "fd" ? "raw" : "local"));
    const targets = configs.map((c) => ({ config: c, format: formatOf(c), send: this.sender(c) }));
    return new Logger(targets, tag || this.global.logTag, this.host);
  }

  close(): void {
    for (const s of this.open.values()) s.close();
    this.open.clear();
  }

  private sender(c: LogTargetConfig): (line: string) => void {
    if (c.kind === "fd")
      return (line) => {
        try {
          writeSync(c.fd, Buffer.from(`${line}\n`, "latin1"));
        } catch {
          this.dropped++;
        }
      };
    if (c.kind === "udp") {
      const key = `${c.host}:${c.port}`;
      let sink = this.open.get(key);
      if (sink === undefined) {
        sink = udpSink(c.host, c.port);
        this.open.set(key, sink);
      }
      const s = sink;
      return (line) => s.send(line);
    }
    if (c.kind === "ring") {
      const ring = this.rings.get(c.path);
      if (ring !== undefined) return (line) => ring.add(line);
    }
    if (c.kind === "unix" && ffiProblem() === null)
      return (line) => {
        if (!sendDatagram(c.path.replace(/^\0/, "@"), Buffer.from(line, "latin1"))) this.dropped++;
      };
    return () => {
      this.dropped++;
    };
  }
}

/** Lines in memory; the oldest go when the ring is full. */
export class Ring {
  readonly name: string;
  readonly description: string;
  readonly format: SyslogFormat;
  readonly lines: string[];
  /** Who gets every new line (show events -w). */
  readonly followers: Set<(line: string) => void>;
  private readonly lengthMax: number;
  private readonly limit: number;
  private bytes: number;
  constructor(config: RingConfig) {
    this.name = config.name;
    this.description = config.description;
    this.format = config.format;
    this.lines = [];
    this.followers = new Set();
    this.lengthMax = config.lengthMax;
    this.limit = config.sizeBytes;
    this.bytes = 0;
  }
  add(whole: string): void {
    const line = whole.slice(0, this.lengthMax);
    for (const take of this.followers) take(line);
    this.lines.push(line);
    this.bytes += line.length + 1;
    let gone = 0;
    while (this.bytes > this.limit && gone < this.lines.length - 1) this.bytes -= this.lines[gone++]!.length + 1;
    if (gone > 0) this.lines.splice(0, gone);
  }
}

export class Logger {
  private readonly targets: Target[];
  private readonly tag: string;
  private readonly host: string;

  constructor(targets: Target[], tag: string, host: string) {
    this.targets = targets;
    this.tag = tag;
    this.host = host;
  }

  get isSilent(): boolean {
    return this.targets.length === 0;
  }

  /** Sends `text` with a severity of 0 (emerg) to 7 (debug). */
  log(severity: number, text: string): void {
    if (this.targets.length === 0) return;
    const when = new Date();
    for (const t of this.targets) {
      const c = t.config;
      if (severity > c.maxLevel) continue;
      const level = severity < c.minLevel ? c.minLevel : severity;
      const { format } = t;
      const host = format === "rfc3164" && this.host === "" ? hostname() : this.host;
      const line = syslogLine(format, c.facility, level, when, host, this.tag, process.pid, text);
      t.send(line.length > c.lengthMax ? line.slice(0, c.lengthMax) : line);
    }
  }
}
