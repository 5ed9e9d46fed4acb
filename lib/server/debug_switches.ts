/** Switches that tests set. anyInScripts: scripts may call what is marked noscript. */
export const debugSwitches = { activeExpire: true, pauseCron: false, skipChecksums: false, aofFlushSleepUs: 0, anyInScripts: false };
