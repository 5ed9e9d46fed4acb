/**
 * redisha: one executable that is a Redis server, a Sentinel or a proxy.
 * Only argv is read here; each mode is imported when it is the one asked for, so that `--version` costs no imports.
 */
import { selectMode } from "./lib/cli/mode.ts";
import { ownCommandLine } from "./lib/cli/self.ts";

const { argv0, args } = ownCommandLine();
const invocation = selectMode(argv0, args);
switch (invocation.mode) {
  case "version":
    (await import("./lib/cli/version.ts")).printVersion(invocation);
    break;
  case "help":
    await (await import("./lib/cli/help.ts")).printHelp(invocation);
    break;
  case "sentinel":
    await (await import("./lib/sentinel/main.ts")).runSentinel(invocation);
    break;
  case "proxy":
    process.exit(await (await import("./lib/proxy/main.ts")).runProxy(invocation.args));
    break;
  case "stack":
    process.exit(await (await import("./lib/stack/main.ts")).runStack(invocation.args));
    break;
  case "server":
    await (await import("./lib/server/main.ts")).runServer(invocation);
    break;
  case "cli":
    process.exit(await (await import("./lib/redis_cli/main.ts")).runCli(invocation.args));
    break;
  case "status":
    process.exit(await (await import("./lib/status/main.ts")).runStatus(invocation.args));
    break;
  case "save-helper":
    (await import("./lib/server/persistence/save_helper.ts")).runSaveHelper(invocation.args);
    break;
  case "check":
  case "doctor":
    process.exit(await (await import("./lib/check/main.ts")).runCheck(invocation.mode, invocation.args));
}
