/**
 * Error texts of the protocol and of the gates, encoded once. Byte-exact with Redis 7.2 because clients and the suite parse them.
 * A client's mistake is a reply, never an exception; texts that carry arguments are small functions below the constants (cold).
 */

/** Encodes an error line: `-TEXT\r\n`, line breaks inside the text turned into blanks as addReplyErrorLength does. */
export function errorLine(text: string): Buffer {
  return Buffer.from(`-${text.replace(/[\r\n]/g, " ")}\r\n`, "latin1");
}

export const ERR = {
  syntax: errorLine("ERR syntax error"),
  wrongType: errorLine("WRONGTYPE Operation against a key holding the wrong kind of value"),
  noKey: errorLine("ERR no such key"),
  sameObject: errorLine("ERR source and destination objects are the same"),
  notInteger: errorLine("ERR value is not an integer or out of range"),
  notFloat: errorLine("ERR value is not a valid float"),
  outOfRange: errorLine("ERR index out of range"),
  outOfRangePositive: errorLine("ERR value is out of range, must be positive"),
  overflow: errorLine("ERR increment or decrement would overflow"),
  stringTooLong: errorLine("ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
  offsetOutOfRange: errorLine("ERR offset is out of range"),
  invalidDb: errorLine("ERR invalid DB index"),
  dbOutOfRange: errorLine("ERR DB index is out of range"),
  hashNotInteger: errorLine("ERR hash value is not an integer"),
  hashNotFloat: errorLine("ERR hash value is not a float"),
  nanOrInfinity: errorLine("ERR increment would produce NaN or Infinity"),
  timeoutNotInteger: errorLine("ERR timeout is not an integer or out of range"),
  timeoutNegative: errorLine("ERR timeout is negative"),
  timeoutNotFloat: errorLine("ERR timeout is not a float or out of range"),
  timeoutOutOfRange: errorLine("ERR timeout is out of range"),
  nestedMulti: errorLine("ERR MULTI calls can not be nested"),
  execWithoutMulti: errorLine("ERR EXEC without MULTI"),
  discardWithoutMulti: errorLine("ERR DISCARD without MULTI"),
  watchInMulti: errorLine("ERR WATCH inside MULTI is not allowed"),
  notAllowedInMulti: errorLine("ERR Command not allowed inside a transaction"),
  execAbort: errorLine("EXECABORT Transaction discarded because of previous errors."),
  noAuth: errorLine("NOAUTH Authentication required."),
  wrongPass: errorLine("WRONGPASS invalid username-password pair or user is disabled."),
  noProto: errorLine("NOPROTO unsupported protocol version"),
  loading: errorLine("LOADING Redis is loading the dataset in memory"),
  busy: errorLine("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."),
  masterDown: errorLine("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
  readonly: errorLine("READONLY You can't write against a read only replica."),
  noReplicas: errorLine("NOREPLICAS Not enough good replicas to write."),
  oom: errorLine("OOM command not allowed when used memory > 'maxmemory'."),
  misconf: errorLine(
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.",
  ),
  busyKey: errorLine("BUSYKEY Target key name already exists."),
  busyGroup: errorLine("BUSYGROUP Consumer Group name already exists"),
  unblocked: errorLine("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"),
  clusterDisabled: errorLine("ERR This instance has cluster support disabled"),
  maxClients: errorLine("ERR max number of clients reached"),
} as const;

/** `wrong number of arguments`; name is the full lower-case name, `config|get` for a subcommand. */
export function wrongNumber(name: string): Buffer {
  return errorLine(`ERR wrong number of arguments for '${name}' command`);
}

/** The first bytes of a text as the original prints them: it ends at a NUL. */
function printed(text: string, most: number): string {
  const nul = text.indexOf("\0");
  return text.slice(0, nul >= 0 && nul < most ? nul : most);
}

/** Redis commandCheckExistence: the first 128 bytes of the name and of the arguments. */
export function unknownCommand(name: string, args: string[]): Buffer {
  let list = "";
  for (const arg of args) {
    if (list.length >= 128) break;
    list += `'${printed(arg, 128 - list.length)}' `;
  }
  return errorLine(`ERR unknown command '${printed(name, 128)}', with args beginning with: ${list}`);
}

/** Redis commandCheckExistence for a container: `sub` as the client typed it, `container` upper-cased. */
export function unknownSubcommand(container: string, sub: string): Buffer {
  return errorLine(`ERR unknown subcommand '${printed(sub, 128)}'. Try ${container.toUpperCase()} HELP.`);
}
