/**
 * What a configuration that every reader takes may still do wrong: each file alone, and all of them together. Pure: files in, findings out.
 * Each check has a test that makes it speak (tests/unit/check.test.ts).
 */
import { isIP } from "node:net";
import { placeOf, type CheckedFile, type ProxyFile, type SentinelFile, type ServerFile, type Statement, type UnitFile } from "./files.ts";
import type { Finding } from "./finding.ts";

type Say = (level: Finding["level"], place: string, text: string, mend: string) => void;

/** A pause of the machine or of a server as long as this was seen, ms; 0: none was looked for. */
export interface Seen {
  pauseMs: number;
  /** Where it was seen, in words. */
  pauseOf: string;
}

export function checkFiles(files: readonly CheckedFile[], seen: Seen = { pauseMs: 0, pauseOf: "" }): Finding[] {
  const findings: Finding[] = [];
  const say: Say = (level, place, text, mend) => void findings.push({ level, place, text, mend });
  const servers = files.filter((f) => f.kind === "server");
  const sentinels = files.filter((f) => f.kind === "sentinel");
  for (const file of files) {
    secrets(file, say);
    if (file.kind === "server") server(file, say);
    else if (file.kind === "sentinel") sentinel(file, sentinels, seen, say);
    else if (file.kind === "proxy") proxy(file, say);
    else unit(file, say);
  }
  together(servers, sentinels, say);
  return findings;
}

const SECRETS =
  /^\s*(requirepass|masterauth|tls-key-file-pass|tls-client-key-file-pass|sentinel\s+(auth-pass|sentinel-pass)|user\s.*>|stats\s+auth|.*\bpassword\b)\s*/im;

/** Passwords in files that everybody on the machine may read. */
function secrets(file: CheckedFile, say: Say): void {
  if ((file.mode & 0o004) === 0) return;
  const line = file.text.split("\n").findIndex((l) => !l.trimStart().startsWith("#") && SECRETS.test(l));
  if (line < 0) return;
  say(
    "warning",
    `${file.path}:${line + 1}`,
    "A password stands in a file that everybody on this machine may read.",
    `chmod 640 ${file.path}, and chown it to root and the group of the service.`,
  );
}

function server(file: ServerFile, say: Say): void {
  const { config } = file;
  const open =
    config.special("bind").some((a) => a === "*" || a === "0.0.0.0" || a === "::" || a === "-::*") || config.special("bind").length === 0;
  if (config.text("requirepass") === "" && config.users.length === 0 && config.text("aclfile") === "" && open) {
    if (!config.bool("protected-mode"))
      say(
        "error",
        placeOf(file, "protected-mode"),
        "Everybody who reaches this machine may read and write: all addresses, no password, protected-mode no.",
        "Set requirepass (and masterauth), or bind to addresses that only the set reaches.",
      );
    else
      say(
        "advice",
        placeOf(file, "bind"),
        "It listens on all addresses and has no password: protected mode answers other machines with an error.",
        "Set requirepass and masterauth, or name addresses in bind.",
      );
  }
  if (config.text("requirepass") !== "" && config.text("masterauth") === "")
    say(
      "warning",
      placeOf(file, "requirepass"),
      "requirepass without masterauth: after a failover this server cannot log in to the new master.",
      "Set masterauth to the password of the set in every server's file.",
    );
  if (config.special("save").length === 0 && !config.bool("appendonly"))
    say(
      "warning",
      placeOf(file, "save"),
      "Nothing is kept on disk: a restart begins empty, and an empty master empties its replicas.",
      "Set save or appendonly yes, or never let it restart by itself (Restart=no).",
    );
  if (config.number("min-replicas-to-write") === 0)
    say(
      "advice",
      placeOf(file, "min-replicas-to-write"),
      "A master that is cut off goes on accepting writes, which are lost when it is made a replica.",
      "min-replicas-to-write 1 and min-replicas-max-lag 10 end that after 10 seconds (with two servers alone: the loss of one then stops writes).",
    );
  if (config.number("maxmemory") === 0)
    say(
      "advice",
      placeOf(file, "maxmemory"),
      "There is no limit to the memory: the kernel ends what grows too large.",
      "Set maxmemory below what the machine has, and a maxmemory-policy.",
    );
  if (file.text !== "" && config.choice("appendfsync") === "no" && config.bool("appendonly"))
    say(
      "advice",
      placeOf(file, "appendfsync"),
      "appendfsync no: up to half a minute of writes is lost when the machine loses power.",
      "appendfsync everysec loses a second at most.",
    );
}

/** What a Sentinel's file says about one master. */
interface Watched {
  name: string;
  host: string;
  port: number;
  quorum: number;
  line: number;
}

function watchedBy(file: SentinelFile): Watched[] {
  return named(file, "monitor").map(({ words, line }) => ({
    name: words[1],
    host: words[2],
    port: Number(words[3]),
    quorum: Number(words[4]),
    line,
  }));
}
const named = (file: SentinelFile, statement: string): Statement[] => file.statements.filter((s) => s.words[0].toLowerCase() === statement);
const about = (file: SentinelFile, statement: string, master: string): Statement | undefined =>
  named(file, statement).find((s) => s.words[1] === master);

function sentinel(file: SentinelFile, all: readonly SentinelFile[], seen: Seen, say: Say): void {
  const masters = watchedBy(file);
  if (masters.length === 0) say("warning", file.path, "No master is monitored.", "Write: sentinel monitor <name> <ip> <port> <quorum>.");
  for (const m of masters) {
    const place = `${file.path}:${m.line}`;
    const written = named(file, "known-sentinel").filter((s) => s.words[1] === m.name).length + 1;
    const given = all.filter((f) => watchedBy(f).some((w) => w.name === m.name)).length;
    const known = Math.max(written, given);
    if (m.quorum > known && known > 1)
      say(
        "error",
        place,
        `The quorum of ${m.name} is ${m.quorum} and there are ${known} Sentinels: nobody can ever call the master down.`,
        `sentinel monitor ${m.name} ${m.host} ${m.port} ${Math.floor(known / 2) + 1}`,
      );
    else if (m.quorum > known)
      say(
        "warning",
        place,
        `The quorum of ${m.name} is ${m.quorum} and one Sentinel is known so far.`,
        "Start the others (they find each other through the master), or give their files to --check too.",
      );
    if (known === 1 && m.quorum === 1)
      say(
        "warning",
        place,
        "One Sentinel alone: when its machine fails nobody watches, and it cannot tell a dead master from its own cut network.",
        "Three Sentinels on three machines, quorum 2.",
      );
    else if (known === 2)
      say(
        "warning",
        place,
        "Two Sentinels: with one gone there is no majority and so no failover.",
        "A third Sentinel, on a third machine.",
      );
    else if (m.quorum === 1 && known > 1)
      say(
        "advice",
        place,
        `Quorum 1 of ${known}: one Sentinel's bad connection starts a failover.`,
        `sentinel monitor ${m.name} ${m.host} ${m.port} ${Math.floor(known / 2) + 1}`,
      );
    if (/[g-zG-Z]/.test(m.host) && isIP(m.host) === 0 && named(file, "resolve-hostnames").every((s) => s.words[1] !== "yes"))
      say(
        "advice",
        place,
        `${m.host} is a name: redis-sentinel refuses it without resolve-hostnames, redisha looks it up once at the start.`,
        "Write the address, or: sentinel resolve-hostnames yes.",
      );
    if (/^(127\.|localhost$|::1$)/.test(m.host) && known > 1)
      say(
        "advice",
        place,
        `${m.name} is monitored as ${m.host}: Sentinels and clients on other machines are told this address, which is themselves there.`,
        "On several machines write the address that all of them reach.",
      );
    const downAfter = Number(about(file, "down-after-milliseconds", m.name)?.words[2] ?? 30_000);
    const at = about(file, "down-after-milliseconds", m.name);
    if (seen.pauseMs * 2 > downAfter)
      say(
        "warning",
        at === undefined ? place : `${file.path}:${at.line}`,
        `down-after-milliseconds ${m.name} ${downAfter}: pauses of ${Math.round(seen.pauseMs)} ms were seen (${seen.pauseOf}), so healthy servers will be called down.`,
        `sentinel down-after-milliseconds ${m.name} ${Math.max(1000, Math.ceil(seen.pauseMs / 100) * 400)}, or end the pauses.`,
      );
    const timeout = Number(about(file, "failover-timeout", m.name)?.words[2] ?? 180_000);
    if (timeout < downAfter)
      say(
        "advice",
        place,
        `failover-timeout ${timeout} is shorter than down-after-milliseconds ${downAfter}.`,
        `sentinel failover-timeout ${m.name} ${Math.max(timeout, downAfter * 3)}`,
      );
  }
}

function proxy(file: ProxyFile, say: Say): void {
  for (const p of file.config.proxies) {
    if (p.kind !== "backend" && p.kind !== "listen") continue;
    const place = placeOf(file, `${p.kind} ${p.name}`);
    const redis = p.tcpCheck.length > 0 || p.servers.some((s) => s.port >= 6379 && s.port < 6479);
    if (!redis || p.servers.length === 0) continue;
    const asksRole = p.tcpCheck.some((rule) => rule.kind === "expect" && /role:master/.test(rule.text));
    if (!asksRole && p.servers.filter((s) => !s.backup).length > 1)
      say(
        "warning",
        place,
        `${p.name} spreads connections over ${p.servers.length} servers without asking which is the master: writes reach replicas.`,
        "option tcp-check with tcp-check send info\\ replication\\r\\n and tcp-check expect string role:master (conf/haproxy.cfg has it).",
      );
    const unchecked = p.servers.filter((s) => !s.check);
    if (asksRole && unchecked.length > 0)
      say(
        "error",
        place,
        `${unchecked.map((s) => s.name).join(", ")}: no 'check' on the server line, so it is taken for a master for ever.`,
        "server NAME ADDRESS check inter 1s",
      );
    const slow = p.servers.find((s) => s.check && s.interMs > 5000);
    if (slow !== undefined) say("advice", place, `${slow.name} is checked every ${slow.interMs} ms only.`, "check inter 1s");
    const idle = p.timeouts.server;
    if (idle !== null && idle > 0 && idle < 30_000)
      say(
        "advice",
        place,
        `timeout server ${idle} ms ends connections that wait in BLPOP or SUBSCRIBE.`,
        "timeout server 1h and timeout client 1h for Redis.",
      );
  }
}

/** A systemd unit that would start redisha. */
function unit(file: UnitFile, say: Say): void {
  const setting = (name: string): string => new RegExp(`^\\s*${name}\\s*=\\s*(.*)$`, "im").exec(file.text)?.[1].trim() ?? "";
  if (!/redis|haproxy/.test(setting("ExecStart"))) return;
  if (/^(true|yes|on|1)$/i.test(setting("MemoryDenyWriteExecute")))
    say(
      "error",
      placeOf(file, "MemoryDenyWriteExecute.*"),
      "MemoryDenyWriteExecute=true: redisha's code cannot be compiled while it runs and is 10 to 20 times slower.",
      `systemctl edit ${file.path.slice(file.path.lastIndexOf("/") + 1)}: [Service] MemoryDenyWriteExecute=false`,
    );
  if (setting("Type") !== "notify" && !/haproxy/.test(setting("ExecStart")))
    say(
      "advice",
      file.path,
      "Type is not notify: systemd takes the service for ready before it has loaded its data.",
      "Type=notify, and --supervised systemd --daemonize no in ExecStart.",
    );
  const files = Number(setting("LimitNOFILE") || 0);
  if (files > 0 && files < 10_032) say("warning", file.path, `LimitNOFILE=${files} allows fewer than 10000 clients.`, "LimitNOFILE=65535");
}

/** What only shows when the files are looked at together. */
function together(servers: readonly ServerFile[], sentinels: readonly SentinelFile[], say: Say): void {
  const masters = servers.filter((s) => (s.config.special("replicaof")?.port ?? 0) === 0);
  if (masters.length > 1)
    say(
      "warning",
      masters.map((s) => s.path).join(", "),
      `${masters.length} of these servers are masters, as none of them has replicaof: they do not share their data.`,
      "If they are one set: replicaof <address of the master> <port> in all but one.",
    );
  const ids = new Map<string, SentinelFile>();
  for (const s of sentinels) {
    const id = named(s, "myid")[0]?.words[1];
    if (id === undefined) continue;
    const other = ids.get(id);
    if (other !== undefined)
      say(
        "error",
        `${s.path}, ${other.path}`,
        "Two Sentinels have the same myid (a copied file): they count as one, and votes are lost.",
        `Take the line 'sentinel myid' out of ${s.path}; a new one is made at the start.`,
      );
    ids.set(id, s);
  }
  for (const s of sentinels)
    for (const m of watchedBy(s)) {
      const target = servers.find((f) => f.config.number("port") === m.port);
      if (target === undefined || target.config.text("requirepass") === "" || about(s, "auth-pass", m.name) !== undefined) continue;
      say(
        "error",
        `${s.path}:${m.line}`,
        `${m.name} wants a password (${target.path}) and this Sentinel has none: it would call the master down.`,
        `sentinel auth-pass ${m.name} <password>`,
      );
    }
  const quorums = new Map<string, Set<number>>();
  for (const s of sentinels) for (const m of watchedBy(s)) quorums.set(m.name, (quorums.get(m.name) ?? new Set()).add(m.quorum));
  for (const [name, set] of quorums)
    if (set.size > 1)
      say(
        "warning",
        sentinels.map((s) => s.path).join(", "),
        `The quorum of ${name} differs: ${[...set].join(", ")}.`,
        "Write the same number into every Sentinel's file.",
      );
}
