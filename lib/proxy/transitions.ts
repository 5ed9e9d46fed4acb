/**
 * What follows when a server changes state: lines in log and on stderr, sessions shut, queues moved, what follows it (track) told, the
 * backend's own state (HAProxy configuration 5.2 on-marked-down, on-marked-up, track; H4-H9 in the notes). Called by checks.ts, agent.ts,
 * fencing.ts and the admin socket. COLD.
 */
import { changeLine, downLine, noServerLine, upLine } from "./core/health_text.ts";
import { isUp, resetHealth } from "./core/health.ts";
import { dequeue, nextFor, takeWaiting } from "./assign.ts";
import { kindText } from "../config/haproxy_model.ts";
import type { Engine } from "./engine.ts";
import { warmUp, coolDown } from "./slowstart.ts";
import type { AdminState, Backend, Server } from "./state.ts";

/** Severities: alert 1, warning 4, notice 5, info 6; stderr has its own three. */
export function say(engine: Engine, back: Backend, severity: number, text: string, stderrText = text): void {
  back.log.log(severity, text);
  const said = engine.sayingPrefix + stderrText;
  if (severity <= 1) engine.diagnostics[severity === 0 ? "alert" : "warning"](said);
  else engine.diagnostics.warning(said);
}

function counts(back: Backend, server: Server, requeued: number): Parameters<typeof downLine>[3] {
  return {
    activeServers: back.activeServers,
    backupServers: back.backupServers,
    sessions: server.active,
    requeued,
    queued: server.queue.length,
  };
}

/** Notes the moment of a change; time spent down is added up. */
function changed(server: Server, wasDown: boolean): void {
  const now = Date.now();
  if (wasDown) server.downtimeMs += now - server.changedMs;
  server.changedMs = now;
}

/** The backend's own state after a change of one of its servers; says when the last one has gone. */
export function refresh(engine: Engine, back: Backend): void {
  const up = back.servers.length === 0 || back.servers.some((s) => s.isUsable);
  if (up === back.wasUp) return;
  const now = Date.now();
  if (up) back.downtimeMs += now - back.changedMs;
  else {
    back.downs++;
    const kind = kindText(back.config);
    say(engine, back, 0, noServerLine(kind, back.name, false), noServerLine(kind, back.name, true));
  }
  back.wasUp = up;
  back.changedMs = now;
}

/** Sessions that waited for this server go elsewhere, those it has are shut where the configuration says so. */
function leave(engine: Engine, server: Server, moved: { dispatch(avoid: Server | null): void }[]): void {
  const back = server.backend;
  refresh(engine, back);
  if (server.config.shutdownOnDown) shutSessions(server, "D");
  for (const s of moved) s.dispatch(server);
}
/** Those who wait for this server and may go elsewhere: with `option redispatch` alone. */
function emptyQueue(server: Server): Server["queue"] {
  const { config, byAuthority } = server.backend;
  if (!byAuthority && (config.redispatch === 0 || config.options.has("persist"))) return [];
  const moved = server.queue.slice();
  for (const s of moved) dequeue(s);
  return moved;
}

/** The server has just gone down (its health or fence says so already). `reason` begins with a comma or is empty. */
export function wentDown(engine: Engine, server: Server, reason: string): void {
  const back = server.backend;
  changed(server, false);
  coolDown(engine, server);
  const moved = emptyQueue(server);
  say(engine, back, 1, downLine(server.path, server.config.backup, reason, counts(back, server, moved.length)));
  remainsDrained(engine, server);
  leave(engine, server, moved);
  for (const t of server.trackers) if (!t.isUp && !t.inMaintenance) wentDown(engine, t, ` via ${server.path}`);
}

/** The server has just come up. */
export function wentUp(engine: Engine, server: Server, reason: string): void {
  const back = server.backend;
  changed(server, true);
  warmUp(
    engine,
    server,
    () => refill(server),
    () => upAgain(engine, server),
  );
  const taken = takeWaiting(server);
  say(engine, back, 5, upLine(server.path, server.config.backup, reason, counts(back, server, taken.length)));
  remainsDrained(engine, server);
  for (const s of taken) s.connect(server);
  arrived(engine, server);
  for (const t of server.trackers) if (t.isUp) wentUp(engine, t, ` via ${server.path}`);
}
/** Its health has changed while it is drained, which it stays. */
export function remainsDrained(engine: Engine, server: Server): void {
  if (server.admin !== "drain") return;
  say(engine, server.backend, 5, `${server.config.backup ? "Backup Server" : "Server"} ${server.path} remains in forced drain mode.`);
}
/** The end of a slow start is told once more. */
function upAgain(engine: Engine, server: Server): void {
  const back = server.backend;
  const taken = takeWaiting(server);
  say(engine, back, 5, upLine(server.path, server.config.backup, "", counts(back, server, taken.length)));
  for (const s of taken) s.connect(server);
}
function arrived(engine: Engine, server: Server): void {
  const back = server.backend;
  refresh(engine, back);
  if (server.config.shutdownBackupOnUp && !server.config.backup && server.weight > 0)
    for (const b of back.servers) if (b.config.backup) shutSessions(b, "U");
  refill(server);
  drainQueues(server);
}

/** It takes no new sessions any more, though it is up. */
export function isStopping(engine: Engine, server: Server, reason: string): void {
  changed(server, false);
  say(engine, server.backend, 5, changeLine(server.path, server.config.backup, "is stopping", reason, counts(server.backend, server, 0)));
  refresh(engine, server.backend);
  for (const t of server.trackers) {
    t.stopping = true;
    isStopping(engine, t, ` via ${server.path}`);
  }
}

/** An administrator (or an agent) puts the server into a mode; nothing when it is in it already. */
export function setAdmin(engine: Engine, server: Server, to: AdminState): void {
  const from = server.admin;
  if (from === to) return;
  const wasUp = server.isUp;
  const wasUsable = server.isUsable;
  server.admin = to;
  if (to === "maint") return enterMaintenance(engine, server, wasUp, "");
  if (from === "maint") {
    leaveMaintenance(engine, server, "leaving forced maintenance");
    if (to === "drain") refresh(engine, server.backend);
    return;
  }
  const back = server.backend;
  const who = server.config.backup ? `Backup Server ${server.path}` : `Server ${server.path}`;
  if (to === "drain") {
    if (wasUsable) changed(server, false);
    say(engine, back, 5, changeLine(server.path, server.config.backup, "enters drain state", "", counts(back, server, 0)));
    refresh(engine, back);
    for (const t of server.trackers) {
      say(engine, t.backend, 5, changeLine(t.path, t.config.backup, "enters drain state", ` via ${server.path}`, counts(t.backend, t, 0)));
      refresh(engine, t.backend);
    }
    return;
  }
  changed(server, false);
  say(engine, back, 5, `${who} is ${server.isUp ? "UP" : "DOWN"} (leaving forced drain).`);
  arrived(engine, server);
  for (const t of server.trackers) {
    say(engine, t.backend, 5, `${t.config.backup ? "Backup " : ""}Server ${t.path} is ${t.isUp ? "UP" : "DOWN"} (leaving forced drain).`);
    arrived(engine, t);
  }
}

/** In maintenance from now on: `via` names the server that took this one along. */
export function enterMaintenance(engine: Engine, server: Server, wasUp: boolean, via: string): void {
  const back = server.backend;
  changed(server, !wasUp);
  if (wasUp) server.health.downs++;
  coolDown(engine, server);
  const moved = emptyQueue(server);
  const { backup } = server.config;
  if (wasUp) say(engine, back, 5, downLine(server.path, backup, via, counts(back, server, moved.length), "is going DOWN for maintenance"));
  else say(engine, back, 5, `${backup ? "Backup " : ""}Server ${server.path} was DOWN and now enters maintenance${via}.`);
  leave(engine, server, moved);
  for (const t of server.trackers) if (t.admin !== "maint") enterMaintenance(engine, t, wasUp, ` via ${server.path}`);
}

/** Out of maintenance: as at the start, one failed check takes it down (or, in front of role checks, one passed brings it up). `name` stands behind the path. */
export function leaveMaintenance(engine: Engine, server: Server, how: string, name = ""): void {
  const back = server.backend;
  const upAtStart = !(back.byAuthority && server.isChecked);
  if (server.isChecked || !isUp(server.health)) resetHealth(server.health, upAtStart);
  changed(server, false);
  const mode = server.isDraining ? "DRAIN" : "READY";
  if (server.isUp)
    warmUp(
      engine,
      server,
      () => refill(server),
      () => upAgain(engine, server),
    );
  say(
    engine,
    back,
    5,
    `${server.config.backup ? "Backup " : ""}Server ${server.path}${name} is ${server.isUp ? "UP" : "DOWN"}/${mode} (${how}).`,
  );
  arrived(engine, server);
  for (const t of server.trackers) if (!t.inMaintenance) leaveMaintenance(engine, t, "leaving maintenance");
}

/** Those who wait for any server come as far as there is room. */
function refill(server: Server): void {
  for (const s of takeWaiting(server)) s.connect(server);
}
/** Lets waiting sessions onto a server that has room. */
export function drainQueues(server: Server): void {
  for (let next = nextFor(server); next !== null; next = nextFor(server)) next.connect(server);
}

export function shutSessions(server: Server, letter: "D" | "U" | "K"): number {
  const count = server.sessions.size;
  for (const s of server.sessions) if (letter !== "D" || !server.backend.byAuthority || !s.move()) s.kill(letter);
  return count;
}

/** The server is no longer the master: its sessions go to the next one where they can (resp_path.ts), the others end. */
export function moveSessions(server: Server): void {
  for (const s of server.sessions) if (!s.move()) s.kill("D");
  server.backend.board?.leave(server);
}
