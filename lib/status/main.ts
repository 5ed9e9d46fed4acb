/**
 * `redisha --status [ADDRESS...] [--watch] [--json]`: the whole set, from any one member. Cold.
 *
 *   options -> gather.ts (asks, follows what it is told) -> judge.ts (what is wrong) -> view.ts (lines or JSON)
 *
 * Exit code: 0 healthy, 1 not healthy, 2 the command line is wrong or nobody answers.
 */
import { readFileSync } from "node:fs";
import type { TLSOptions } from "bun";
import { strerror } from "../bytes/errno.ts";
import { showAddress, type Address } from "../fleet/hello.ts";
import type { Access } from "./ask.ts";
import type { Facts } from "./facts.ts";
import { gather } from "./gather.ts";
import { judge, type Judgement } from "./judge.ts";
import { draw, partLines, toJson } from "./view.ts";

export const STATUS_USAGE = `usage: redisha --status [ADDRESS ...] [--watch [SECONDS]] [--json] [-a PASSWORD] [--user NAME] [--sentinel-pass PASSWORD]
                        [--tls] [--cacert FILE] [--insecure] [--timeout MS] [--page [HOST:]PORT [--admin]]

  Draws the whole set, from any one member of it: server, Sentinel or proxy. ADDRESS is host:port, a port of this machine, or the path of a
  proxy's statistics socket. Without one it looks at 26379, 6379 and 6378 of this machine. REDISCLI_AUTH works as in redis-cli.
  --page serves the same as a page with charts, on 127.0.0.1 unless HOST is given; --admin lets it start failovers.
  Exit code: 0 healthy, 1 not, 2 nobody answers.`;

interface StatusOptions {
  addresses: Address[];
  sockets: string[];
  guessed: boolean;
  watchMs: number;
  json: boolean;
  /** Where to serve the page; null: not at all. */
  page: Address | null;
  admin: boolean;
  access: Access;
}

const DEFAULT_PORTS = [26379, 6379, 6378];

/** The options, or what is wrong with them. */
export function readStatusOptions(args: readonly string[], env: Readonly<Record<string, string | undefined>>): StatusOptions | string {
  const tls: { on: boolean; ca: string | null; insecure: boolean } = { on: false, ca: null, insecure: false };
  const access: Access = { user: null, password: env["REDISCLI_AUTH"] ?? null, sentinelPassword: null, tls: null, timeoutMs: 2000 };
  const o: StatusOptions = { addresses: [], sockets: [], guessed: false, watchMs: 0, json: false, page: null, admin: false, access };
  for (let i = 0; i < args.length; i++) {
    const word = args[i];
    const value = (): string => {
      const v = args[++i];
      if (v === undefined) throw new Error(`${word} wants a value`);
      return v;
    };
    try {
      if (word === "--json") o.json = true;
      else if (word === "--watch")
        o.watchMs = /^[\d.]+$/.test(args[i + 1] ?? "") && Number(args[i + 1]) < 1000 ? Number(value()) * 1000 : 1000;
      else if (word === "--page") {
        o.page = readAddress(value());
        if (o.page === null) return "--page wants a port, or host:port";
      } else if (word === "--admin") o.admin = true;
      else if (word === "-a" || word === "--pass") access.password = value();
      else if (word === "--user") access.user = value();
      else if (word === "--sentinel-pass") access.sentinelPassword = value();
      else if (word === "--timeout") access.timeoutMs = Math.max(1, Number(value()) || 2000);
      else if (word === "--tls") tls.on = true;
      else if (word === "--cacert") tls.ca = value();
      else if (word === "--insecure") tls.insecure = true;
      else if (word.startsWith("--") || (word.startsWith("-") && word.length > 1)) return `unknown option '${word}'`;
      else if (word.startsWith("/")) o.sockets.push(word);
      else {
        const address = readAddress(word);
        if (address === null) return `'${word}' is no address: host:port, a port, or the path of a statistics socket`;
        o.addresses.push(address);
      }
    } catch (error) {
      return (error as Error).message;
    }
  }
  if (o.addresses.length === 0 && o.sockets.length === 0) {
    o.guessed = true;
    o.addresses = DEFAULT_PORTS.map((port) => ({ host: "127.0.0.1", port }));
  }
  if (tls.on) access.tls = { rejectUnauthorized: !tls.insecure, ...(tls.ca !== null ? { ca: readFileSync(tls.ca) } : {}) } as TLSOptions;
  return o;
}

function readAddress(word: string): Address | null {
  const m = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(word) ?? /^()()(\d+)$/.exec(word);
  if (m === null) return null;
  const port = Number(m[3]);
  return port > 0 && port < 65536 ? { host: m[1] || m[2] || "127.0.0.1", port } : null;
}

interface Look {
  facts: Facts;
  judgement: Judgement;
  code: number;
}

async function look(o: StatusOptions): Promise<Look> {
  const facts = await gather(o.addresses, o.sockets, o.access, o.guessed);
  const judgement = judge(facts);
  const anybody = facts.servers.length + facts.sentinels.length + facts.proxies.length + facts.stats.filter((s) => s.error === null).length;
  return { facts, judgement, code: anybody === 0 ? 2 : judgement.healthy ? 0 : 1 };
}

/** Runs it; the exit code. */
export async function runStatus(args: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(STATUS_USAGE);
    return 0;
  }
  const o = readStatusOptions(args, process.env);
  if (typeof o === "string") {
    console.error(`redisha --status: ${o}\n${STATUS_USAGE}`);
    return 2;
  }
  if (o.page !== null) return servePages(o, o.page);
  if (o.watchMs > 0) return watch(o);
  const now = await look(o);
  if (o.json) console.log(JSON.stringify(toJson(now.facts, now.judgement)));
  else if (now.code === 2 && o.guessed)
    console.log(
      `Nobody answers on ports ${DEFAULT_PORTS.join(", ")} of this machine. Name a member of the set: redisha --status HOST:PORT`,
    );
  else for (const line of draw(now.facts, now.judgement)) console.log(line);
  return now.code;
}

const timeOfDay = (): string => new Date().toISOString().slice(11, 23);

const PAGE_MS = 1000;

/** --page: gathers and serves until a signal ends it. */
async function servePages(o: StatusOptions, at: Address): Promise<number> {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(0));
  const { Feed, servePage } = await import("./page_server.ts");
  const feed = new Feed();
  const news = new News();
  try {
    console.log(
      `The page is at ${servePage(feed, at.host, at.port, o.admin, o.access)}${o.admin ? ", and whoever reaches it may start a failover" : ""}`,
    );
  } catch (error) {
    console.error(`redisha --status: the page cannot be served on ${showAddress(at)}: ${strerror(error)}`);
    return 2;
  }
  for (;;) {
    const now = await look(o);
    feed.add(now.facts, now.judgement, news.since(now), Date.now());
    await Bun.sleep(o.watchMs > 0 ? o.watchMs : PAGE_MS);
  }
}

/** Draws again and again on a terminal; elsewhere one line a change (with --json one object a change). Ends at Ctrl-C. */
async function watch(o: StatusOptions): Promise<number> {
  let code = 0;
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(code));
  const terminal = process.stdout.isTTY === true && !o.json;
  const news = new News();
  for (;;) {
    const now = await look(o);
    code = now.code;
    const fresh = news.since(now);
    if (terminal) {
      const rows = process.stdout.rows ?? 24;
      const picture = draw(now.facts, now.judgement, process.stdout.columns ?? 80);
      const lines = [...picture, "", ...news.latest.slice(-Math.max(0, rows - picture.length - 3))];
      process.stdout.write(`\x1b[H${lines.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`);
    } else if (o.json) {
      if (fresh.length > 0)
        console.log(JSON.stringify({ at: new Date().toISOString(), changes: fresh, ...toJson(now.facts, now.judgement) }));
    } else for (const line of fresh) console.log(`${timeOfDay()} ${line}`);
    await Bun.sleep(o.watchMs);
  }
}

/** What is different from the last look: parts and findings that came, changed or went. */
class News {
  private before: Map<string, string> | null;
  readonly latest: string[];

  constructor() {
    this.before = null;
    this.latest = [];
  }

  since(now: Look): string[] {
    const state = new Map<string, string>();
    for (const block of partLines(now.facts, now.judgement))
      for (const l of block.lines) state.set(`${l.where}`, `${l.kind} ${l.where}: ${l.state}`);
    for (const f of [...now.judgement.groups.flatMap((g) => g.findings), ...now.judgement.findings])
      if (f.level === "bad") state.set(f.text, f.text);
    state.set("", now.judgement.healthy ? "healthy" : "NOT healthy");
    const lines: string[] = [];
    if (this.before !== null) for (const [key, text] of this.before) if (!state.has(key)) lines.push(`no longer: ${text}`);
    for (const [key, text] of state) if (this.before?.get(key) !== text) lines.push(text);
    this.before = state;
    this.latest.push(...lines.map((line) => `${timeOfDay()} ${line}`));
    this.latest.splice(0, this.latest.length - 100);
    return lines;
  }
}
