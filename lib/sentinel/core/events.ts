/** The texts of Sentinel's events, byte for byte those of sentinel.c (spec 3), and the scripts they start. Pure. */
import { shown, type Addr } from "./addr.ts";
import { note } from "./history.ts";
import { log, masterOf, type Instance, type Master, type Turn } from "./state.ts";
import type { Level } from "./types.ts";

/** `%@` of sentinelEvent: `<type> <name> <ip> <port>`, and ` @ <master> <ip> <port>` for what is not a master. */
export function describe(t: Turn, ri: Instance): string {
  const own = `${ri.role} ${ri.name} ${shown(t.s, ri.addr)} ${ri.addr.port}`;
  if (ri.role === "master") return own;
  const m = ri.master;
  return `${own} @ ${m.name} ${shown(t.s, m.addr)} ${m.addr.port}`;
}

/** An event about an instance: `%@` and what follows it. Warnings also run the master's notification script. */
export function emit(t: Turn, level: Level, type: string, ri: Instance, tail = ""): void {
  emitText(t, level, type, describe(t, ri) + tail, ri);
}

/** An event with a payload of its own; `ri` names the master whose script runs, null for none. */
export function emitText(t: Turn, level: Level, type: string, payload: string, ri: Instance | null): void {
  t.out.push({ kind: "emit", level, type, payload });
  if (ri === null) return;
  const m = masterOf(ri);
  note(t, m, type, ri);
  if (level !== "warning") return;
  const path = m.notificationScript;
  if (path !== "") t.out.push({ kind: "runScript", script: "notification", path, args: [type, payload] });
  if (m.webhook !== "") t.out.push({ kind: "webhook", url: m.webhook, master: m.name, type, payload });
}

/** Redis: sentinelCallClientReconfScript. */
export function reconfigScript(t: Turn, m: Master, as: "leader" | "observer", from: Addr, to: Addr): void {
  if (m.reconfigScript === "") return;
  const args = [m.name, as, "start", shown(t.s, from), String(from.port), shown(t.s, to), String(to.port)];
  t.out.push({ kind: "runScript", script: "reconfig", path: m.reconfigScript, args });
}

/** Raises the current epoch to `epoch` and says so. The caller persists. */
export function newEpoch(t: Turn, m: Master, epoch: number): void {
  t.s.currentEpoch = epoch;
  emitText(t, "warning", "+new-epoch", String(epoch), m);
}

/** Redis: sentinelSimFailureCrash. */
export function crash(t: Turn): void {
  log(t, "warning", "Sentinel CRASH because of SENTINEL simulate-failure");
  t.out.push({ kind: "exit", code: 99 });
}
