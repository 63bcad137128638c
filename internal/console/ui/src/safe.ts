// Text of others shows what hides in it: characters that turn the direction of
// writing around, that cannot be seen, or that steer something, are written as \uXXXX,
// as the commands write them. It holds for all text that is drawn, whatever draws it.
import { Fragment, options } from "preact";

const hides = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0\u2800\u034f\ufe00-\ufe0f]/gu;
// What the browser itself writes into dates and numbers of some locales turns nothing around.
const plain = "\t\n\r\u200e\u200f\u061c";

/** visible is the text with what hides in it as escapes; of a JSON text it is the same JSON. */
export const visible = (text: string) => text.replace(hides, (c) => (plain.includes(c) ? c : c.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")));

const drawn = (children: unknown): unknown => (typeof children === "string" ? visible(children) : Array.isArray(children) ? children.map(drawn) : children);

const former = options.vnode;
options.vnode = (vnode) => {
  const props = vnode.props as { children?: unknown };
  if ((typeof vnode.type === "string" || vnode.type === Fragment) && props.children !== undefined) props.children = drawn(props.children);
  former?.(vnode);
};
