/** Which state a session is in (session.ts draws the way), and the letter that the second termination flag has there. */
/** States. */
export const NEW = 0;
/** No place in the frontend. */
export const WAITING = 1;
/** No master confirmed. */
export const HELD = 2;
export const QUEUED = 3;
export const CONNECTING = 4;
/** Between two attempts. */
export const TURNAROUND = 5;
export const PUMPING = 6;
export const CLOSED = 7;

/** Which letter the second termination flag has in each state. */
export const PHASE = ["L", "L", "Q", "Q", "C", "C", "D", "-"];
