/** Commands of what redisha does not do: Redis Cluster and modules. They answer as a server where both are switched off. Cold. */
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import type { RowTable } from "../commands/table/index.ts";
import { ERR } from "../resp/errors.ts";
import { mayUse } from "./commands.ts";
import type { Server } from "./server.ts";

const NOT_LOADED = "ERR Error loading the extension. Please check the server logs.";

export function unsupportedRuns(s: Server, table: RowTable): Record<string, Run> {
  const runs: Record<string, Run> = {};
  const disabled = (c: Call): void => c.out.error(ERR.clusterDisabled);
  for (const row of table.all) if (row.name.startsWith("cluster|")) runs[row.name] = disabled;
  for (const name of ["asking", "readonly", "readwrite"]) runs[name] = disabled;
  const load = (c: Call): void => {
    if (!mayUse(s, c, "enable-module-command", "MODULE")) return;
    s.log.warning(`Module ${c.text(2)} failed to load: redisha runs no Redis modules`);
    c.out.errorText(NOT_LOADED);
  };
  runs["module|load"] = load;
  runs["module|loadex"] = load;
  runs["module|unload"] = (c) => {
    if (mayUse(s, c, "enable-module-command", "MODULE")) c.out.errorText("ERR Error unloading module: no such module with that name");
  };
  return runs;
}
