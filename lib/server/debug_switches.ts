/** Switches that tests set and cron reads. */
export const debugSwitches = { activeExpire: true, pauseCron: false, skipChecksums: false };
