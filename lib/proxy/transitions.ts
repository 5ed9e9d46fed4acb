/**
 * What follows when a server changes state: lines in log and on stderr, sessions shut, queues moved (HAProxy configuration 5.2
 * on-marked-down, on-marked-up; H4-H9 in the notes). Called by checks.ts and fencing.ts. COLD.
 */
import { downLine, noServerLine, upLine } from "./core/health_text.ts";
import { nextFor } from "./assign.ts";
import type { Engine } from "./engine.ts";
import type { Backend, Server } from "./state.ts";

/** Severities: alert 1, warning 4, notice 5, info 6; stderr has its own three. */
export function say(engine: Engine, back: Backend, severity: number, text: string, stderrText = text): void {
  back.log.log(severity, text);
  if (severity <= 1) engine.diagnostics[severity === 0 ? "alert" : "warning"](stderrText);
  else engine.diagnostics.warning(stderrText);
}

function counts(back: Backend, server: Server, requeued: number): Parameters<typeof downLine>[3] {
  return {
    activeServers: back.activeServers,
    backupServers: back.backupServers,
    sessions: server.active,
    requeued,
    queued: back.queue.length,
  };
}

/** The server has just gone down (its health or fence says so already). `reason` begins with a comma or is empty. */
export function wentDown(engine: Engine, server: Server, reason: string): void {
  const back = server.backend;
  server.changedMs = Date.now();
  const moved = server.queue.splice(0);
  server.queued = 0;
  const text = downLine(server.path, server.config.backup, reason, counts(back, server, moved.length));
  say(engine, back, 1, text);
  if (back.activeServers + back.backupServers === 0) {
    back.downs++;
    say(engine, back, 0, noServerLine(back.name, false), noServerLine(back.name, true));
  }
  if (server.config.shutdownOnDown) shutSessions(server, "D");
  for (const s of moved) s.dispatch(server);
  if (back.candidates().length === 0 && !back.byAuthority) for (const s of back.queue.splice(0)) s.dispatch(server);
}

/** The server has just come up. */
export function wentUp(engine: Engine, server: Server, reason: string): void {
  const back = server.backend;
  server.changedMs = Date.now();
  const text = upLine(server.path, server.config.backup, reason, counts(back, server, 0));
  say(engine, back, 5, text);
  if (server.config.shutdownBackupOnUp && !server.config.backup && server.weight > 0)
    for (const b of back.servers) if (b.config.backup) shutSessions(b, "U");
  drainQueues(server);
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
