/**
 * SENTINEL's subcommands and PUBLISH: what a client asks, as an `answer` action. Pure. Redis sentinel.c: sentinelCommand.
 * One function a subcommand, found by name; `min`/`max` count the words after SENTINEL NAME. Those that change settings are in
 * commands_set.ts. PENDING-SCRIPTS and HELP are the driver's: queue and texts live there.
 */
import { makeAddr, sameAddr, shown, shownWithPort } from "./addr.ts";
import { debug, configGet, configSet, monitor, remove, set } from "./commands_set.ts";
import { inProgress, startFailover } from "./failover.ts";
import { identity } from "./identity.ts";
import { globMatchText } from "../../bytes/glob.ts";
import { processHello } from "./hello.ts";
import { persistFirst } from "./persist.ts";
import { failovers } from "./history.ts";
import { reason, selectReplica } from "./select.ts";
import { NEVER, NO_ORDER, currentAddr, log, majority, type Master, type Order, type Turn } from "./state.ts";
import { forgetDead, resetMaster } from "./switch.ts";
import { wholeNumber, wrongNumber } from "./text.ts";
import { infoCache, instanceMap, masterList, peerList, replicaList } from "./view.ts";
import { onHint, requestVote } from "./vote.ts";
import { HELLO_CHANNEL, type Answer, type ClientId } from "./types.ts";

interface Subcommand {
  /** Words after the subcommand's name. */
  min: number;
  max: number;
  /** The answer, or undefined when it is given elsewhere (now or later). `args` are those words. */
  run(t: Turn, args: string[], client: ClientId): Answer | undefined;
}

const NO_MASTER: Answer = { error: "ERR No such master with that name" };

/** A subcommand about one master, by name. */
function about(run: (t: Turn, m: Master, client: ClientId) => Answer | undefined): Subcommand {
  return {
    min: 1,
    max: 1,
    run: (t, args, client) => {
      const m = t.s.masters.get(args[0]);
      return m === undefined ? NO_MASTER : run(t, m, client);
    },
  };
}

const replicas = about((t, m) => replicaList(t.s, m, t.now));
const masters: Subcommand = { min: 0, max: 0, run: (t) => masterList(t.s, t.now) };
const master = about((t, m) => instanceMap(t.s, m, t.now));
const address: Subcommand = { min: 1, max: 1, run: getAddress };
const isDown: Subcommand = { min: 4, max: 4, run: isMasterDown };

const SUBCOMMANDS: Record<string, Subcommand> = {
  masters,
  master,
  replicas,
  slaves: replicas,
  sentinels: about((t, m) => peerList(t.s, m, t.now)),
  "get-master-addr-by-name": address,
  "is-master-down-by-addr": isDown,
  // Valkey's names of the same.
  primaries: masters,
  primary: master,
  "get-primary-addr-by-name": address,
  "is-primary-down-by-addr": isDown,
  identity: { min: 0, max: 0, run: (t) => identity(t.s) },
  myid: { min: 0, max: 0, run: (t) => t.s.myid },
  ckquorum: about(checkQuorum),
  failover: { min: 1, max: 5, run: failover },
  failovers: about((_t, m) => failovers(m)),
  reset: { min: 1, max: 2, run: reset },
  flushconfig: { min: 0, max: 0, run: (t, _args, client) => void persistFirst(t, { kind: "ok", client }) },
  "info-cache": { min: 1, max: Infinity, run: cache },
  "simulate-failure": { min: 1, max: Infinity, run: simulate },
  monitor: { min: 4, max: 4, run: monitor },
  remove: { min: 1, max: 4, run: remove },
  set: { min: 3, max: Infinity, run: set },
  config: { min: 2, max: Infinity, run: config },
  debug: { min: 0, max: Infinity, run: debug },
};

export function command(t: Turn, client: ClientId, args: string[]): void {
  const name = (args[0] ?? "").toLowerCase();
  const answer = name === "publish" ? publish(t, client, args) : sentinel(t, client, args);
  if (answer !== undefined) t.out.push({ kind: "answer", client, answer });
}

/** Redis: sentinelPublishCommand. The 1 tells the sender that his configuration is on our disk. */
function publish(t: Turn, client: ClientId, args: string[]): Answer | undefined {
  if (args.length !== 3) return { error: "ERR wrong number of arguments for 'publish' command" };
  if (args[1] !== HELLO_CHANNEL) return { error: "ERR Only HELLO messages are accepted by Sentinel instances." };
  processHello(t, args[2]);
  // While the file cannot be written the answer is no: what was adopted before may not be on disk.
  if (!t.dirty && t.s.unwritten === 0 && t.s.unsavedRetryMs === NEVER) return 1;
  persistFirst(t, { kind: "hello", client });
  return undefined;
}

function sentinel(t: Turn, client: ClientId, args: string[]): Answer | undefined {
  if (args.length < 2) return { error: "ERR wrong number of arguments for 'sentinel' command" };
  const name = args[1].toLowerCase();
  const sub = Object.hasOwn(SUBCOMMANDS, name) ? SUBCOMMANDS[name] : undefined;
  if (sub === undefined) return { error: `ERR unknown subcommand '${args[1].slice(0, 128)}'. Try SENTINEL HELP.` };
  const rest = args.slice(2);
  if (rest.length < sub.min || rest.length > sub.max) return wrongNumber(name);
  return sub.run(t, rest, client);
}

function getAddress(t: Turn, args: string[]): Answer {
  const m = t.s.masters.get(args[0]);
  if (m === undefined) return { nilArray: true };
  const addr = currentAddr(m);
  return [shown(t.s, addr), String(addr.port)];
}

/** A peer's question, with or without a request for our vote. */
function isMasterDown(t: Turn, args: string[], client: ClientId): Answer | undefined {
  const [ip, portText, epochText, runid] = args;
  const port = wholeNumber(portText);
  const epoch = wholeNumber(epochText);
  if (port === null || epoch === null) return { error: "ERR value is not an integer or out of range" };
  const addr = makeAddr(t.s, ip, port, true);
  let m: Master | undefined;
  if (typeof addr !== "string") for (const each of t.s.masters.values()) if (sameAddr(each.addr, addr)) m ??= each;
  const down = m !== undefined && m.sdown && !t.s.tilt;
  if (m === undefined) return [0, "*", 0];
  onHint(t, m);
  if (runid === "*") return [down ? 1 : 0, "*", 0];
  requestVote(t, m, client, epoch, runid, down);
  return undefined;
}

function checkQuorum(_t: Turn, m: Master): Answer {
  let usable = 1;
  for (const p of m.peers.values()) if (!p.sdown) usable++;
  const noQuorum = usable < m.quorum;
  const noMajority = usable < majority(m);
  if (!noQuorum && !noMajority) return { status: `OK ${usable} usable Sentinels. Quorum and failover authorization can be reached` };
  const reasons: string[] = [];
  if (noQuorum) reasons.push("Not enough available Sentinels to reach the specified quorum for this master");
  if (noMajority) reasons.push("Not enough available Sentinels to reach the majority and authorize a failover");
  return { error: `NOQUORUM ${usable} usable Sentinels. ${reasons.join(". ")}` };
}

/** SENTINEL FAILOVER name [TO host port] [COORDINATED|FORCE]. */
function failover(t: Turn, args: string[]): Answer {
  const m = t.s.masters.get(args[0]);
  if (m === undefined) return NO_MASTER;
  const order = orderOf(t, args.slice(1));
  if ("error" in order) return order;
  if (inProgress(m)) return { error: "INPROG Failover already in progress" };
  m.order = order;
  if (selectReplica(t, m) === null) {
    const error = `NOGOODSLAVE No suitable replica to promote${why(t, m)}`;
    m.order = NO_ORDER;
    return { error };
  }
  log(t, "notice", `Executing user requested FAILOVER of '${m.name}'`);
  startFailover(t, m, order);
  return { status: "OK" };
}

function orderOf(t: Turn, words: string[]): Order | { error: string } {
  const bad = { error: "ERR Unknown failover option specified" };
  let { mode, to } = NO_ORDER;
  for (let i = 0; i < words.length; i++) {
    const word = words[i].toLowerCase();
    if ((word === "coordinated" || word === "force") && mode === "auto") mode = word;
    else if (word === "to" && to === null && i + 2 < words.length) {
      const port = wholeNumber(words[i + 2]);
      const addr = port === null ? "port" : makeAddr(t.s, words[i + 1], port, false);
      if (typeof addr === "string") return { error: "ERR Invalid IP address and port or hostname specified" };
      to = addr;
      i += 2;
    } else return bad;
  }
  return { mode, to };
}

/** Of a replica that was asked for by name one wants to know what is wrong with it. */
function why(t: Turn, m: Master): string {
  const { to } = m.order;
  if (to === null) return "";
  for (const r of m.replicas.values()) if (sameAddr(r.addr, to)) return `: ${r.name} is ${reason(t, m, r)}`;
  return `: ${shownWithPort(t.s, to)} is no replica of '${m.name}'`;
}

/** SENTINEL RESET pattern [DEAD]: all that was learnt, or only those that are down. */
function reset(t: Turn, args: string[]): Answer {
  const dead = args.length === 2;
  t.s.strangers.clear();
  if (dead && args[1].toLowerCase() !== "dead") return wrongNumber("reset");
  let n = 0;
  for (const m of t.s.masters.values()) {
    if (!globMatchText(args[0], m.name)) continue;
    if (dead) forgetDead(t, m);
    else resetMaster(t, m);
    n++;
  }
  return n;
}

function cache(t: Turn, args: string[]): Answer {
  const wanted = new Set<Master>();
  for (const name of args) {
    const m = t.s.masters.get(name);
    if (m !== undefined) wanted.add(m);
  }
  return infoCache(wanted, t.now);
}

function simulate(t: Turn, args: string[]): Answer {
  const { s } = t;
  s.crashAfterElection = false;
  s.crashAfterPromotion = false;
  for (const arg of args) {
    const name = arg.toLowerCase();
    if (name === "crash-after-election") {
      s.crashAfterElection = true;
      log(t, "warning", "Failure simulation: this Sentinel will crash after being successfully elected as failover leader");
    } else if (name === "crash-after-promotion") {
      s.crashAfterPromotion = true;
      log(t, "warning", "Failure simulation: this Sentinel will crash after promoting the selected replica to master");
    } else if (name === "help") return ["crash-after-election", "crash-after-promotion"];
    else return { error: "ERR Unknown failure simulation specified" };
  }
  return { status: "OK" };
}

function config(t: Turn, args: string[], client: ClientId): Answer | undefined {
  const verb = args[0].toLowerCase();
  if (verb === "set" && args.length >= 3) return configSet(t, args.slice(1), client);
  if (verb === "get") return configGet(t, args.slice(1));
  return {
    error: "ERR Only SENTINEL CONFIG GET <param> [<param> <param> ...]/ SET <param> <value> [<param> <value> ...] are supported.",
  };
}
