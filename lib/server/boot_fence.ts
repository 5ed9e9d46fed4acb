/**
 * A server that starts as a master although its Sentinels may have made another one meanwhile takes no writes until a majority of them says
 * that it still is (directive boot-fence). Cold. The verdict is fleet/boot_fence.ts'; who is asked is remembered beside the RDB.
 *
 *   Sentinel --PUBLISH __sentinel__:hello--> heard() --> <dbfilename>.sentinels
 *   start as a master --> file --> ask each every half second --> bootVerdict --> open, or until REPLICAOF: -MASTERDOWN to writes
 *
 * Reads are served meanwhile. Sentinels that want a password are asked in vain: they count as known and silent.
 */
import { existsSync, readFileSync } from "node:fs";
import type { Call } from "../clients/call.ts";
import { bootVerdict, type BootVerdict } from "../fleet/boot_fence.ts";
import { HELLO_CHANNEL, parseHello, plausibleHello, showAddress, type Address } from "../fleet/hello.ts";
import { count, type SentinelView } from "../fleet/majority.ts";
import { Link } from "../link/link.ts";
import { replaceFile } from "../os/files.ts";
import { errorLine } from "../resp/errors.ts";
import { pairs, type Reply } from "../resp/reply.ts";
import { clock, readClock } from "../time/clock.ts";
import type { Server } from "./server.ts";

const ASK_MS = 500;
/** No answer within this: lost. */
const SILENCE_MS = 1500;
/** When all refuse connections for so long, there are none any more. */
const GONE_MS = 5000;
/** A Sentinel that has said nothing for so long is forgotten with the next change. */
const FORGET_MS = 3600_000;
/** More than this say hello: somebody makes them up. */
const SENTINELS_MAX = 64;

interface Known {
  address: Address;
  runId: string;
  heardMs: number;
}

export class BootFence {
  private readonly server: Server;
  /** Set by replication: the gates are to be looked at again. */
  private readonly changed: () => void;
  private readonly known: Map<string, Known>;
  private name: string;
  /** The address that Sentinels give for the master; ours if we were it. */
  private master: Address;
  private wasMaster: boolean;
  /** How often each was asked, and what it said. */
  private views: SentinelView[];
  private timer: ReturnType<typeof setTimeout> | null;
  private goneSinceMs: number;
  private told: string;
  private saving: boolean;
  private unsaved: boolean;

  constructor(server: Server, changed: () => void) {
    this.server = server;
    this.changed = changed;
    this.known = new Map();
    this.name = "";
    this.master = { host: "", port: 0 };
    this.wasMaster = false;
    this.views = [];
    this.timer = null;
    this.goneSinceMs = 0;
    this.told = "";
    this.saving = false;
    this.unsaved = false;
    const { parts, config } = server;
    const earlier = parts.published;
    parts.published = (call) => {
      this.heard(call);
      earlier(call);
    };
    config.watch("boot-fence", () => {
      if (!this.wanted) this.open();
    });
  }

  private get wanted(): boolean {
    return this.server.config.bool("boot-fence");
  }
  private get path(): string {
    return `${this.server.config.text("dbfilename")}.sentinels`;
  }

  // ------------------------------------------------------------------------------------------------ whom to ask

  /** A message is published here: a hello names a Sentinel. */
  private heard(call: Call): void {
    if (!this.wanted || call.argc !== 3 || call.e(1) - call.s(1) !== HELLO_CHANNEL.length || call.text(1) !== HELLO_CHANNEL) return;
    const hello = parseHello(call.text(2));
    if (hello === null || !plausibleHello(hello)) return;
    const was = this.known.get(hello.runId);
    const moved = was === undefined || was.address.host !== hello.host || was.address.port !== hello.port;
    if (was === undefined && this.known.size >= SENTINELS_MAX) return;
    this.known.set(hello.runId, { address: { host: hello.host, port: hello.port }, runId: hello.runId, heardMs: clock.nowMs });
    const wasMaster = this.server.role() === "master";
    const { name, master } = this;
    const same =
      !moved &&
      name === hello.masterName &&
      master.host === hello.masterHost &&
      master.port === hello.masterPort &&
      wasMaster === this.wasMaster;
    this.name = hello.masterName;
    this.master = { host: hello.masterHost, port: hello.masterPort };
    this.wasMaster = wasMaster;
    if (!same) void this.save();
  }

  private async save(): Promise<void> {
    this.unsaved = true;
    if (this.saving) return;
    this.saving = true;
    while (this.unsaved) {
      this.unsaved = false;
      for (const [id, k] of this.known) if (clock.nowMs - k.heardMs > FORGET_MS) this.known.delete(id);
      const lines = [`${this.wasMaster ? "self" : "master"} ${this.name} ${this.master.host} ${this.master.port}`];
      for (const k of this.known.values()) lines.push(`sentinel ${k.address.host} ${k.address.port} ${k.runId}`);
      const failed = await replaceFile(this.path, `${lines.join("\n")}\n`);
      if (failed !== null) this.server.log.warning(`Can't remember the Sentinels for boot-fence: ${failed.reason}`);
    }
    this.saving = false;
  }

  private read(): void {
    if (!existsSync(this.path)) return;
    for (const line of readFileSync(this.path, "latin1").split("\n")) {
      const [kind, ...words] = line.split(" ");
      if (kind === "sentinel" && words.length === 3) {
        const [host, port, runId] = words;
        this.known.set(runId, { address: { host, port: Number(port) }, runId, heardMs: clock.nowMs });
      } else if ((kind === "self" || kind === "master") && words.length === 3) {
        this.name = words[0];
        this.master = { host: words[1], port: Number(words[2]) };
        this.wasMaster = kind === "self";
      }
    }
  }

  // ------------------------------------------------------------------------------------------------ the fence

  /** At the start, before clients come: is it up? */
  begin(): void {
    try {
      this.read();
    } catch (error) {
      this.server.log.warning(`Can't read ${this.path}: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (!this.wanted || this.server.role() !== "master" || this.known.size === 0) return;
    this.views = [...this.known.values()].map((k) => ({ id: k.runId, address: k.address, source: "peer", link: "lost", answer: null }));
    this.put({ state: "ask", reason: `${this.known.size} Sentinels are known, none has answered yet` });
    this.ask();
  }

  private put(verdict: BootVerdict): void {
    const { server } = this;
    server.fence = errorLine(
      `MASTERDOWN Writes wait until the Sentinels confirm that this server is the master (boot-fence): ${verdict.reason}`,
    );
    if (verdict.reason !== this.told) server.log.warning(`boot-fence: no writes are taken, ${verdict.reason}`);
    this.told = verdict.reason;
    this.changed();
  }

  private open(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.views = [];
    if (this.server.fence === null) return;
    this.server.fence = null;
    this.changed();
  }

  private ask(): void {
    for (const view of this.views) this.askOne(view);
    this.timer = setTimeout(() => this.judge(), ASK_MS);
  }

  private askOne(view: SentinelView): void {
    let before: Reply | undefined;
    let master: Reply | undefined;
    const link = new Link({
      hostname: view.address.host,
      port: view.address.port,
      timeoutMs: SILENCE_MS,
      connected: (l) => {
        const where = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", this.name];
        l.send(where, (r) => void (before = r));
        l.send(["SENTINEL", "MASTER", this.name], (r) => void (master = r));
        l.send(["SENTINEL", "SENTINELS", this.name], (r) => this.peers(r));
        // The epoch belongs to the address only when that is the same before and after (fleet/majority.ts).
        l.send(where, (after) => {
          if (Array.isArray(after) && Array.isArray(master) && String(before) === String(after)) answered(view, after, master);
          l.close();
        });
      },
      closed: (l, error) => {
        clearTimeout(late);
        if (l.wasConnected) return;
        view.link = (error as { code?: string } | null)?.code === "ECONNREFUSED" ? "refused" : "lost";
      },
    });
    const late = setTimeout(() => link.close(), SILENCE_MS);
  }

  /** Others that a Sentinel lists are asked as well: they may have come while this server was away. */
  private peers(reply: Reply | undefined): void {
    if (!Array.isArray(reply)) return;
    for (const peer of reply) {
      const { ip, port, runid } = pairs(peer);
      if (!ip || !port || !runid || this.views.length >= SENTINELS_MAX || this.views.some((v) => v.id === runid)) continue;
      this.views.push({ id: runid, address: { host: ip, port: Number(port) }, source: "peer", link: "lost", answer: null });
    }
  }

  private judge(): void {
    readClock();
    if (this.server.role() !== "master") return this.open();
    const self = this.wasMaster ? [this.master] : [];
    const counted = count(this.views, [{ id: "self", runId: this.server.runId, addresses: self }], clock.monoMs, SILENCE_MS * 2);
    const verdict = bootVerdict(counted, "self");
    if (counted.situation !== "gone") this.goneSinceMs = 0;
    else if (this.goneSinceMs === 0) this.goneSinceMs = clock.monoMs;
    const sure = counted.situation !== "gone" || clock.monoMs - this.goneSinceMs >= GONE_MS;
    if (verdict.state === "open" && sure) {
      this.server.log.notice(`boot-fence: writes are taken, ${verdict.reason}`);
      return this.open();
    }
    this.put(verdict);
    this.ask();
  }
}

/** What a Sentinel said of the master's name. */
function answered(view: SentinelView, address: Reply[], master: Reply): void {
  const m = pairs(master);
  const told = { host: String(address[0]), port: Number(address[1]) };
  const same = m["ip"] === told.host && Number(m["port"]) === told.port;
  const runId = same ? m["runid"] || null : null;
  const was = view.answer;
  readClock();
  const now = clock.monoMs;
  const still = was !== null && was.address !== null && showAddress(was.address) === showAddress(told);
  view.link = "up";
  view.answer = {
    address: told,
    runId,
    configEpoch: Number(m["config-epoch"] ?? 0),
    otherSentinels: Number(m["num-other-sentinels"] ?? 0),
    atMs: now,
    sinceMs: still ? was.sinceMs : now,
  };
}
