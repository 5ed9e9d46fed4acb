/** Replies that several command files share. COLD. */
import type { Call } from "./call.ts";

/** A subcommand with too many arguments that its row's arity lets through (Redis addReplySubcommandSyntaxError). */
export function tooMany(call: Call): void {
  const container = call.text(0).toUpperCase();
  call.out.errorText(`ERR unknown subcommand or wrong number of arguments for '${call.text(1).slice(0, 128)}'. Try ${container} HELP.`);
}
