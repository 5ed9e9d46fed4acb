/** SAVE, BGSAVE, LASTSAVE and DEBUG RELOAD; DUMP and RESTORE are in dump.ts. Cold. Redis rdb.c, debug.c. */
import type { Call } from "../../clients/call.ts";
import type { Run } from "../../clients/command.ts";
import { ERR, errorLine } from "../../resp/errors.ts";
import { strerror } from "../../bytes/errno.ts";
import { debugParts } from "../debug.ts";
import { dumpRuns } from "./dump.ts";
import { loadFileSync } from "./file_source.ts";
import type { LoadEnd } from "./loading.ts";
import type { Persistence } from "./persistence.ts";

const PLAIN_ERROR = errorLine("ERR");
const RUNNING = errorLine("ERR Background save already in progress");

function save(p: Persistence, c: Call): void {
  if (p.busy) return c.out.error(RUNNING);
  if (p.saveNow() === null) c.out.ok();
  else c.out.error(PLAIN_ERROR);
}

/** BGSAVE [SCHEDULE]. Inside EXEC it is put off: the transaction is to be saved whole. */
function bgsave(p: Persistence, c: Call): void {
  if (c.argc > 2 || (c.argc === 2 && !c.is(1, "schedule"))) return c.out.error(ERR.syntax);
  if (p.busy) return c.out.error(RUNNING);
  if (c.depth > 0) {
    p.scheduled = true;
    return c.out.status("Background saving scheduled");
  }
  p.saveInBackground();
  c.out.status("Background saving started");
}

/** DEBUG RELOAD [NOSAVE] [NOFLUSH] [MERGE]: everything out and in again, before anything else happens. */
function reload(p: Persistence, c: Call): void {
  const options = new Set<string>();
  for (let i = 2; i < c.argc; i++) {
    const word = c.lower(i);
    if (word !== "merge" && word !== "noflush" && word !== "nosave")
      return c.out.errorText("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
    options.add(word);
  }
  p.breakOff();
  if (!options.has("nosave") && p.saveNow() !== null) return c.out.error(PLAIN_ERROR);
  const { server } = p;
  if (!options.has("noflush")) server.emptyAll(false);
  let end: LoadEnd;
  try {
    end = loadFileSync(p.path, p.checksums, { ...p.loadOptions(), replace: options.has("merge") });
  } catch (error) {
    server.log.warning(`Fatal error: can't open the RDB file ${p.path} for reading: ${strerror(error)}`);
    return c.out.errorText("ERR Error trying to load the RDB dump, check server logs.");
  }
  server.lastLoaded = end.info;
  if (end.error !== null) {
    server.log.warning(`Internal error in RDB reading offset ${end.offset}, function at rdb_load -> ${end.error}`);
    return c.out.errorText("ERR Error trying to load the RDB dump, check server logs.");
  }
  server.log.notice("DB reloaded by DEBUG RELOAD");
  c.out.ok();
}

export function persistenceRuns(p: Persistence): Record<string, Run> {
  debugParts["reload"] = (c) => reload(p, c);
  return {
    save: (c) => save(p, c),
    bgsave: (c) => bgsave(p, c),
    lastsave: (c) => c.out.int(p.lastSaveS),
    ...dumpRuns(p.server),
  };
}
