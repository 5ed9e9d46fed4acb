/**
 * The Sentinel engine by example: each file in sentinel/ is a small world and a script; between the `----` lines stand the events that must
 * come of it, with their times. `REWRITE=1 bun test tests/unit/sentinel_stories.test.ts` writes them anew: the diff is what to review.
 *
 *   world sentinels=3 servers=3 quorum=2 down-after=1000 failover-timeout=6000   (S1.. on 10.0.1.N, servers r1.. on 10.0.0.N, r1 master)
 *   kill r1 | power r1 | start r1 | pause r1 | resume r1 | cut h1 [h2 ..] | heal | run MS | disk S1 full|ok|MS (an fsync's time) | ask S1 WORD ... | order r1 WORD ...
 */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SentinelEngine } from "../../lib/sentinel/core/engine.ts";
import { replyOf, type Answer, type Engine } from "../../lib/sentinel/core/types.ts";
import { ReplyError, type Reply } from "../../lib/resp/reply.ts";
import { SentinelProcess, type EngineMaker, type Watcher } from "../sim/sentinel.ts";
import { Server } from "../sim/server.ts";
import { original } from "../sim/scenario.ts";
import { START_MS, World } from "../sim/world.ts";

const FSYNC_MS = 2;
const folder = join(import.meta.dir, "sentinel");

class Story {
  readonly world: World;
  readonly servers: Server[];
  readonly sentinels: SentinelProcess[];
  /** Lines since the last block. */
  lines: string[];

  constructor(settings: Record<string, string>) {
    const number = (key: string, usual: number): number => Number(settings[key] ?? usual);
    this.world = new World(number("seed", 1));
    this.world.net.delayMs = { low: 1, high: 1, slowChance: 0, slowMs: 0 };
    this.lines = [];
    this.world.log = (who, text) => {
      if (/^\(.*(voted for|Next failover)/.test(text)) this.say(who, text);
    };
    this.servers = [];
    this.sentinels = [];
    for (let i = 1; i <= number("servers", 3); i++) {
      const s = new Server(this.world, `r${i}`, `h${i}`, `10.0.0.${i}`, 6379);
      s.persistence = "all";
      if (i > 1) s.disk.replicaof = { ip: "10.0.0.1", port: 6379 };
      this.servers.push(s);
    }
    const count = number("sentinels", 3);
    const quorum = number("quorum", Math.floor(count / 2) + 1);
    for (let i = 1; i <= count; i++) {
      const kind = i > count - number("originals", 0) ? "original" : "ours";
      const s = new SentinelProcess(this.world, `S${i}`, `s${i}`, `10.0.1.${i}`, 26379, kind, this.maker(`S${i}`, kind), this.watcher());
      s.fsyncMs = { low: FSYNC_MS, high: FSYNC_MS };
      s.file = [
        ["myid", String(i).repeat(40)],
        ["monitor", "m", "10.0.0.1", "6379", String(quorum)],
        ["down-after-milliseconds", "m", settings["down-after"] ?? "1000"],
        ["failover-timeout", "m", settings["failover-timeout"] ?? "6000"],
      ];
      if (settings["fast"] !== undefined && kind === "ours") s.file.push(["fast-failover", "m", settings["fast"]]);
      if (settings["auto"] !== undefined) s.file.push(["auto-failover", "m", settings["auto"]]);
      // One name for each Sentinel, e.g. clusters=a,a,b.
      const cluster = settings["clusters"]?.split(",")[i - 1] ?? "";
      if (cluster !== "") s.file.push(["cluster-id", cluster]);
      this.sentinels.push(s);
    }
    for (const s of this.servers) s.start();
    this.world.run(1000);
    for (const s of this.sentinels) s.start();
  }

  /** The engine, with the answers to the script's questions written down. */
  private maker(name: string, kind: string): EngineMaker {
    return (boot, nowMs, random): Engine => {
      const engine = kind === "original" ? original(boot, nowMs, random) : SentinelEngine.create(boot, nowMs);
      if ("text" in engine) throw new Error(engine.text);
      const inner = engine.step.bind(engine);
      engine.step = (event, now, r) => {
        const out = inner(event, now, r);
        for (const a of out) if (a.kind === "answer" && a.client > SCRIPT) this.say(name, `=> ${show(a.answer)}`);
        return out;
      };
      return engine;
    };
  }

  private say(name: string, text: string): void {
    const short = text.replace(/(\d)\1{39}/g, "ID$1");
    this.lines.push(`${String(this.world.now - START_MS).padStart(6)} ${name} ${short}`);
  }

  private watcher(): Watcher {
    const nothing = (): void => {};
    return {
      emitted: (s, type, payload) => this.say(s.name, `${type} ${payload}`.trimEnd()),
      persisted: nothing,
      voted: nothing,
      sent: nothing,
      started: nothing,
      ended: nothing,
    };
  }

  private process(name: string): Server | SentinelProcess {
    const found = [...this.servers, ...this.sentinels].find((p) => p.name === name);
    if (found === undefined) throw new Error(`no ${name} in this world`);
    return found;
  }

  command(line: string): void {
    const [word, ...args] = line.split(/\s+/);
    const { world } = this;
    switch (word) {
      case "run":
        return world.run(Number(args[0]));
      case "kill":
        return this.process(args[0]).kill();
      case "power":
        return this.process(args[0]).kill(true);
      case "start": {
        const p = this.process(args[0]);
        if (p.dark) p.light();
        return p.start();
      }
      case "pause":
        return this.process(args[0]).pause();
      case "resume":
        return this.process(args[0]).resume();
      case "cut": {
        const hosts = new Set([...this.servers, ...this.sentinels].map((p) => p.host));
        const others = args.length > 1 ? args.slice(1) : [...hosts].filter((h) => h !== args[0]);
        for (const h of others) {
          world.net.block(args[0], h);
          world.net.block(h, args[0]);
        }
        return;
      }
      case "heal":
        return world.net.unblockAll();
      case "disk": {
        const s = this.process(args[0]) as SentinelProcess;
        s.diskFails = args[1] === "full";
        const ms = /^\d+$/.test(args[1]) ? Number(args[1]) : FSYNC_MS;
        s.fsyncMs = { low: ms, high: ms };
        return;
      }
      case "ask": {
        const s = this.process(args[0]) as SentinelProcess;
        const numbers = s as unknown as { lastClient: number };
        const before = numbers.lastClient;
        numbers.lastClient = SCRIPT;
        s.operator(args.slice(1));
        numbers.lastClient = before;
        return;
      }
      case "order":
        return (this.process(args[0]) as Server).order(args.slice(1));
      default:
        throw new Error(`unknown script line: ${line}`);
    }
  }
}

/** Clients from this number on are the script's. */
const SCRIPT = 1_000_000;

function show(answer: Answer): string {
  const text = (r: Reply): string =>
    r instanceof ReplyError ? `-${r.text}` : Array.isArray(r) ? `[${r.map(text).join(" ")}]` : r === null ? "nil" : String(r);
  return text(replyOf(answer));
}

/** Runs a script; gives the file's text with the events that came. */
function play(text: string): string {
  const blocks = text.split("\n\n");
  let story: Story | null = null;
  const out: string[] = [];
  for (const block of blocks) {
    const commands = block.split("\n----")[0].split("\n");
    for (const line of commands) {
      if (line.startsWith("#") || line.trim() === "") continue;
      if (line.startsWith("world")) {
        const settings = Object.fromEntries(
          line
            .split(/\s+/)
            .slice(1)
            .map((w) => w.split("=")),
        );
        story = new Story(settings);
      } else story!.command(line);
    }
    out.push([...commands, "----", ...story!.lines].join("\n"));
    story!.lines = [];
  }
  return `${out.join("\n\n")}\n`;
}

for (const name of readdirSync(folder).filter((f) => f.endsWith(".txt"))) {
  test(`story: ${name.replace(".txt", "")}`, () => {
    const file = join(folder, name);
    const text = readFileSync(file, "utf8");
    const played = play(text.trimEnd());
    if (process.env["REWRITE"]) writeFileSync(file, played);
    else expect(played).toBe(text);
  });
}
