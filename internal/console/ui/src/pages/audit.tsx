import { query } from "../api";
import type { PageProps } from "../console";
import { Empty, Failure, link, Section, Table, useNow, When, Waits } from "../parts";
import { useAsk, useTitle } from "../use";

interface Who {
  via: string;
  name?: string;
  tenant?: string;
  address?: string;
  user?: string;
  client?: string;
}
interface Found {
  entries: { id: string; time: string; data: { text: string; action: string; subscription?: string; who: Who } }[];
  stopped?: boolean;
}

const most = 200; // entries

const ways: Record<string, string> = { api: "over the API", cli: "on the command line", bus: "on the bus", bridge: "the bridge" };

/** Audit is who changed what; for operators. */
export function Audit({ place, session }: PageProps) {
  useTitle("Audit");
  useNow(30_000);
  const get = (name: string) => place.search.get(name) ?? "";
  const filter = { subscription: get("subscription"), action: get("action"), who: get("who") };
  const operator = session.role === "operator";
  const found = useAsk<Found>(operator ? query("api/v1/audit", { ...filter, limit: most }) : null, 10_000);
  if (!operator) return <><h1>Audit</h1><Empty>The audit log is for operators. Go to the <a href="#/">overview</a>.</Empty></>;
  const items = found.value?.entries.slice().reverse();
  const show = (e: Event) => {
    e.preventDefault();
    const q = new URLSearchParams();
    for (const [name, value] of new FormData(e.target as HTMLFormElement)) if (String(value).trim()) q.set(name, String(value).trim());
    location.hash = `#/audit?${q}`;
  };
  return (
    <>
      <h1>Audit</h1>
      <form class="filters" onSubmit={show} key={place.search.toString()}>
        {Object.entries(filter).map(([name, value]) => <label>{name[0]!.toUpperCase() + name.slice(1)} <input name={name} defaultValue={value} spellcheck={false} /></label>)}
        <button>Filter</button>
      </form>
      <Section title="Changes, newest first">
        {found.failure && <Failure of={found.failure} again={found.again} />}
        {!items && found.asking && <Waits />}
        {items?.length === 0 && <Empty>{Object.values(filter).some(Boolean) ? <>No change matches. <a href="#/audit">Show all</a></> : "No changes yet."}</Empty>}
        {!!items?.length && (
          <Table name="Changes" columns={["Time", "Action", "Subscription", "Change", "By"]}>
            {items.map((x) => (
              <tr key={x.id}>
                <td><When at={x.time} /></td>
                <td>{x.data.action}</td>
                <th scope="row">{x.data.subscription ? <a href={link.subscription(x.data.subscription)}>{x.data.subscription}</a> : "–"}</th>
                <td class="wide">{x.data.text}</td>
                <td>{[x.data.who.name ?? x.data.who.user ?? x.data.who.client ?? (x.data.who.via === "bus" && "somebody"), x.data.who.tenant && `tenant ${x.data.who.tenant}`, ways[x.data.who.via] ?? x.data.who.via, x.data.who.address].filter(Boolean).join(", ")}</td>
              </tr>
            ))}
          </Table>
        )}
        {(found.value?.stopped || items?.length === most) && <p class="quiet">There may be older changes: filter by subscription, or use <code>orderbridge audit</code>.</p>}
      </Section>
    </>
  );
}
