/**
 * A refusal is an expected "no": one plain sentence for a person, one code for a program, and
 * nothing changed. Throw it wherever input, state or the host does not allow what was asked;
 * everything else that is thrown is a defect of ours.
 *
 * The sentence names the thing, says what is wrong and, where there is one, the way out. It ends
 * with a full stop and never carries a stack, an errno or a path the user did not give.
 */
export const refusalCodes = [
  'usage', // the call itself is malformed
  'not-found', // the named thing does not exist
  'exists', // a thing of that name exists already
  'wrong-state', // not now: the machine or job is in another state
  'in-use', // somebody else holds it
  'no-space', // disk, memory or table full
  'bad-input', // a file, frame or document that breaks its format
  'unsupported', // well formed, and something we do not do
  'denied', // not allowed: token, permission, confinement
  'cancelled', // the caller took it back
  'timeout', // it did not answer in time
  'unavailable', // a part of the host or guest that is needed is missing
  'internal', // a defect of ours, kept apart from the rest
] as const;

export type RefusalCode = (typeof refusalCodes)[number];

export class Refusal extends Error {
  readonly code: RefusalCode;
  /** Where in a document the fault lies: 1-based, for hand-edited files. */
  readonly at?: { line: number; column: number };

  constructor(code: RefusalCode, sentence: string, at?: { line: number; column: number }) {
    super(sentence);
    this.name = 'Refusal';
    this.code = code;
    this.at = at;
  }
}

/** The refusal inside whatever was thrown; a defect becomes `internal` with its own message. */
export function asRefusal(thrown: unknown): Refusal {
  if (thrown instanceof Refusal) return thrown;
  if (isAbort(thrown)) return new Refusal('cancelled', 'Cancelled.');
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new Refusal('internal', message);
}

function isAbort(thrown: unknown): boolean {
  return thrown instanceof Error && (thrown.name === 'AbortError' || thrown.name === 'Aborted');
}
