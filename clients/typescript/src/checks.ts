/**
 * Refuse arguments before anything is sent. A program in JavaScript has no compiler, and a property that is misspelt
 * and dropped could be the one that a token must have.
 */
import type { DescMessage } from "@bufbuild/protobuf";

/** Says what a value must be; undefined if the value is that. */
export type Check = (value: unknown) => string | undefined;

/** A check for each property of *T*. */
export type Checks<T> = { readonly [Name in keyof Required<T>]: Check };

export const text: Check = (value) =>
  typeof value === "string" && value.isWellFormed() ? undefined : "a string of Unicode text";
export const bool: Check = (value) => (typeof value === "boolean" ? undefined : "true or false");
export const func: Check = (value) => (typeof value === "function" ? undefined : "a function");
export const signal: Check = (value) => (value instanceof AbortSignal ? undefined : "an AbortSignal");
export const bytes: Check = (value) => (value instanceof Uint8Array ? undefined : "bytes");
export const count: Check = (value) => (Number.isInteger(value) && Number(value) >= 0 ? undefined : "a whole number, 0 or more");
export const texts: Check = listOf(text, "a list of strings");
export const milliseconds: Check = (value) =>
  isNumber(value, 99_999_999) && value > 0 ? undefined : "more than 0 and less than 100 million milliseconds";
export const seconds: Check = (value) => (isNumber(value, 315_576_000_000) ? undefined : "a number of seconds");
export const moment: Check = (value) =>
  isNumber(value instanceof Date ? value.getTime() / 1000 : value, 253_402_300_799)
    ? undefined
    : "a Date, or seconds since 1970";

/** Check for a value of a generated enum. */
export function enumOf(values: Record<string, string | number>): Check {
  const names = Object.keys(values).filter((name) => typeof values[name] === "number");
  return (value) =>
    typeof value === "number" && Object.values(values).includes(value) ? undefined : `one of ${names.join(", ")}`;
}

/** Check for a list of what *check* accepts. */
export function listOf(check: Check, wanted: string): Check {
  return (value) => (Array.isArray(value) && !value.some(check) ? undefined : wanted);
}

/**
 * Return *value* if it has only properties of *checks*, with values that these accept; *names* are what an error calls them.
 *
 * @throws TypeError that names what is wrong, and never quotes a value.
 */
export function checked<T extends object>(what: string, value: T, checks: Checks<T>, names: Partial<Record<string, string>> = {}): T {
  if (typeof value !== "object" || value === null) throw new TypeError(`${what} must be an object`);
  for (const [name, given] of Object.entries(value)) {
    requireKnown(what, name, Object.keys(checks));
    const wanted = given === undefined ? undefined : checks[name as keyof T](given);
    if (wanted) throw new TypeError(`${names[name] ?? name} must be ${wanted}`);
  }
  return value;
}

/**
 * Refuse a message that has properties beside the contract's, at any depth: `create` of protobuf-es drops them.
 *
 * @throws TypeError that names the property.
 */
export function requireKnownFields(message: DescMessage, value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  const members = new Map(message.members.map((member) => [member.localName, member]));
  for (const [name, given] of Object.entries(value)) {
    if (name === "$typeName" || name === "$unknown") continue;
    requireKnown(message.typeName, name, [...members.keys()]);
    const member = members.get(name);
    if (member?.kind === "field") {
      if (member.message) for (const each of Array.isArray(given) ? given : [given]) requireKnownFields(member.message, each);
    } else if (member && given?.case !== undefined) {
      requireKnown(`${message.typeName}.${name}`, String(given.case), member.fields.map((field) => field.localName));
      const field = member.fields.find((each) => each.localName === given.case);
      if (field?.message) requireKnownFields(field.message, given.value);
    } else if (member && typeof given === "object") {
      for (const key of Object.keys(given ?? {})) requireKnown(`${message.typeName}.${name}`, key, ["case", "value"]);
    }
  }
}

function requireKnown(what: string, name: string, known: readonly string[]): void {
  if (!known.includes(name)) throw new TypeError(`${what} has no property ${name}; it has ${known.join(", ")}`);
}

function isNumber(value: unknown, limit: number): value is number {
  return typeof value === "number" && Math.abs(value) <= limit;
}
