/** The originals that this program stands in for: in messages and replies that tools look at. */

/** redis_version of INFO, HELLO and fatal messages. */
export const REDIS_VERSION = "7.2.4";
export const HAPROXY_VERSION = "2.6.12";
