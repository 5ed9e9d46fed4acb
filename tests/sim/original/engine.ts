/**
 * The model of the original Sentinel as an Engine (lib/sentinel/core/types.ts): ticks, replies, and the commands that peers, proxies and
 * operators of a simulated world send. hz is 10 + rand()%10, drawn anew after every tick.
 */
import {
  HELLO_CHANNEL,
  type Action,
  type Answer,
  type Boot,
  type Engine,
  type Event,
  type Random,
} from "../../../lib/sentinel/core/types.ts";
import type { Instance, Sentinel } from "./instances.ts";
import { currentAddr, directives, event, find, load, PERIOD, plainEvent, release, resetMaster, flush } from "./instances.ts";
import { hello, linkDown, message } from "./links.ts";
import { handleMasters, selectSlave, startFailover, vote } from "./judge.ts";

export class OriginalSentinel implements Engine {
  private readonly s: Sentinel;
  private readonly hadId: boolean;

  /** `nowMs` and `random` are needed at once: instances are born with the time of their creation. */
  constructor(boot: Boot, nowMs: number, random: Random) {
    this.s = {
      myid: "",
      port: boot.port,
      currentEpoch: 0,
      masters: new Map(),
      tilt: false,
      tiltStartMs: 0,
      previousMs: nowMs,
      lastLink: 0,
      lastToken: 0,
      links: new Map(),
      announceIp: "",
      announcePort: 0,
      crashAfter: "",
      exited: false,
      now: nowMs,
      random,
      out: [],
    };
    load(this.s, boot.directives);
    this.hadId = this.s.myid !== "";
    if (!this.hadId) this.s.myid = boot.freshId;
  }

  get myid(): string {
    return this.s.myid;
  }

  directives(): string[][] {
    return directives(this.s);
  }

  /** What SENTINEL CONFIG-like queries of a test want to see without going through the wire. */
  masterView(name: string): { addr: { ip: string; port: number }; configEpoch: number; peers: number } | null {
    const m = this.s.masters.get(name);
    return m === undefined ? null : { addr: currentAddr(m), configEpoch: m.configEpoch, peers: m.sentinels.size };
  }

  step(e: Event, nowMs: number, random: Random): Action[] {
    const s = this.s;
    s.now = nowMs;
    s.random = random;
    s.out = [];
    switch (e.kind) {
      case "start":
        if (!this.hadId) flush(s);
        s.out.push({ kind: "log", level: "notice", text: `Sentinel ID is ${s.myid}` });
        for (const m of s.masters.values()) event(s, "warning", "+monitor", m, ` quorum ${m.quorum}`);
        s.out.push({ kind: "deadline", atMs: nowMs + 1 });
        break;
      case "timer":
        this.tick();
        break;
      case "linkUp": {
        const known = s.links.get(e.link);
        if (known !== undefined && !known.pubsub) known.link.localIp = e.localIp;
        break;
      }
      case "linkDown":
        linkDown(s, e.link);
        break;
      case "reply": {
        const known = s.links.get(e.link);
        if (known === undefined || known.pubsub) break;
        const then = known.link.callbacks.shift();
        if (then != null) then(e.reply);
        break;
      }
      case "message":
        message(s, e.link, e.items);
        break;
      case "command":
        s.out.push({ kind: "answer", client: e.client, answer: this.command(e.args) });
        break;
      case "resolved":
      case "persisted":
      case "settings":
        break;
    }
    return s.out;
  }

  /** Redis: sentinelTimer. */
  private tick(): void {
    const s = this.s;
    const gap = s.now - s.previousMs;
    if (gap < 0 || gap > PERIOD.tiltTriggerMs) {
      s.tilt = true;
      s.tiltStartMs = s.now;
      plainEvent(s, "warning", "+tilt", "#tilt mode entered");
    }
    s.previousMs = s.now;
    handleMasters(s);
    const hz = 10 + Math.floor(s.random() * 10);
    if (!s.exited) s.out.push({ kind: "deadline", atMs: s.now + Math.floor(1000 / hz) });
  }

  private command(args: string[]): Answer {
    const s = this.s;
    const [word, sub, a, b, c, d] = args;
    if (word!.toUpperCase() === "PUBLISH") {
      if (sub !== HELLO_CHANNEL) return { error: "ERR Only HELLO messages are accepted by Sentinel instances." };
      hello(s, a!);
      return 1;
    }
    const m = s.masters.get(a ?? "");
    switch (sub!.toLowerCase()) {
      case "is-master-down-by-addr":
        return this.isMasterDown(a!, Number(b), Number(c), d!);
      case "get-master-addr-by-name":
        return m === undefined ? { nilArray: true } : [currentAddr(m).ip, String(currentAddr(m).port)];
      case "myid":
        return s.myid;
      case "master":
        return m === undefined ? NO_MASTER : this.show(m);
      case "sentinels":
        return m === undefined ? NO_MASTER : [...m.sentinels.values()].map((p) => this.show(p));
      case "replicas":
      case "slaves":
        return m === undefined ? NO_MASTER : [...m.slaves.values()].map((r) => this.show(r));
      case "failover":
        if (m === undefined) return NO_MASTER;
        if (m.inFailover) return { error: "INPROG Failover already in progress" };
        if (selectSlave(s, m) === null) return { error: "NOGOODSLAVE No suitable replica to promote" };
        s.out.push({ kind: "log", level: "notice", text: `Executing user requested FAILOVER of '${m.name}'` });
        startFailover(s, m);
        m.forced = true;
        return { status: "OK" };
      case "reset":
        if (m === undefined) return 0;
        resetMaster(s, m, false);
        event(s, "warning", "+reset-master", m);
        return 1;
      case "remove":
        if (m === undefined) return NO_MASTER;
        event(s, "warning", "-monitor", m);
        release(s, m);
        s.masters.delete(m.name);
        flush(s);
        return { status: "OK" };
      case "simulate-failure":
        s.crashAfter = a === "crash-after-election" ? "election" : "promotion";
        return { status: "OK" };
      default:
        return { error: `ERR unknown subcommand '${sub}'. Try SENTINEL HELP.` };
    }
  }

  private isMasterDown(ip: string, port: number, epoch: number, runId: string): Answer {
    const s = this.s;
    const m = find(s.masters, { ip, port }, null);
    const down = !s.tilt && m !== null && m.sdown ? 1 : 0;
    if (m === null || runId === "*") return [down, "*", 0];
    const v = vote(s, m, epoch, runId);
    return [down, v.leader ?? "*", v.epoch];
  }

  /** The fields of an instance map that anybody in a world reads. */
  private show(ri: Instance): Answer {
    const map: Answer[] = ["name", ri.name, "ip", ri.addr.ip, "port", String(ri.addr.port), "runid", ri.runId ?? ""];
    const flags = [
      ri.sdown && "s_down",
      ri.odown && "o_down",
      ri.kind,
      ri.link.disconnected && "disconnected",
      ri.inFailover && "failover_in_progress",
    ];
    map.push("flags", flags.filter((f) => f !== false).join(","));
    if (ri.kind === "master")
      map.push(
        "config-epoch",
        String(ri.configEpoch),
        "num-slaves",
        String(ri.slaves.size),
        "num-other-sentinels",
        String(ri.sentinels.size),
      );
    return { map };
  }
}

const NO_MASTER: Answer = { error: "ERR No such master with that name" };
