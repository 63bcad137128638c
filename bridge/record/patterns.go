package record

import "strings"

// patterns holds event types that hold `*`, by the longest text of each that
// stands between its stars, before the first or behind the last: a type can
// only match if it begins with that text, ends with it or holds it. So of
// 10,000 patterns those are tried that share their longest text with the type,
// each once, at a cost that is linear (typeMatches).
type patterns struct {
	byPrefix, bySuffix, byMiddle map[string]map[string]*group // text -> pattern -> group
	longest                      int                          // bytes of the longest prefix or suffix ever put
	middles                      map[int]int                  // how many texts of byMiddle have that length
}

// longestText is where a pattern is filed, and under what.
func (p *patterns) longestText(pattern string) (by *map[string]map[string]*group, text string) {
	first, last := strings.IndexByte(pattern, '*'), strings.LastIndexByte(pattern, '*')
	by, text = &p.byPrefix, pattern[:first]
	if suffix := pattern[last+1:]; len(suffix) > len(text) {
		by, text = &p.bySuffix, suffix
	}
	if first < last {
		for part := range strings.SplitSeq(pattern[first+1:last], "*") {
			if len(part) > len(text) {
				by, text = &p.byMiddle, part
			}
		}
	}
	return by, text
}

func (p *patterns) put(pattern string, s *Subscription) {
	by, text := p.longestText(pattern)
	if *by == nil {
		*by = make(map[string]map[string]*group, 1)
	}
	if (*by)[text] == nil {
		(*by)[text] = make(map[string]*group, 1)
		if by == &p.byMiddle {
			if p.middles == nil {
				p.middles = make(map[int]int, 1)
			}
			p.middles[len(text)]++
		}
	}
	g := (*by)[text][pattern]
	if g == nil {
		g = &group{}
		(*by)[text][pattern] = g
	}
	g.put(s)
	if by != &p.byMiddle {
		p.longest = max(p.longest, len(text))
	}
}

func (p *patterns) remove(pattern string, s *Subscription) {
	by, text := p.longestText(pattern)
	g := (*by)[text][pattern]
	g.remove(s)
	if !g.empty() {
		return
	}
	delete((*by)[text], pattern)
	if len((*by)[text]) > 0 {
		return
	}
	delete(*by, text)
	if by != &p.byMiddle {
		return
	}
	if p.middles[len(text)]--; p.middles[len(text)] == 0 {
		delete(p.middles, len(text))
	}
}

func (p *patterns) empty() bool {
	return len(p.byPrefix) == 0 && len(p.bySuffix) == 0 && len(p.byMiddle) == 0
}

func (p *patterns) collect(typ, tenant string, dst []*Subscription) []*Subscription {
	for n := range min(len(typ), p.longest) + 1 {
		dst = collectPatterns(p.byPrefix[typ[:n]], typ, tenant, dst)
		dst = collectPatterns(p.bySuffix[typ[len(typ)-n:]], typ, tenant, dst)
	}
	if len(p.middles) == 0 {
		return dst
	}
	var tried map[string]bool // texts that the type holds
	for length := range p.middles {
		for at := 0; at+length <= len(typ); at++ {
			text := typ[at : at+length]
			candidates := p.byMiddle[text]
			if candidates == nil || tried[text] {
				continue
			}
			if tried == nil {
				tried = map[string]bool{}
			}
			tried[text] = true
			dst = collectPatterns(candidates, typ, tenant, dst)
		}
	}
	return dst
}

func collectPatterns(candidates map[string]*group, typ, tenant string, dst []*Subscription) []*Subscription {
	for pattern, g := range candidates {
		if g.heardBy(tenant) && typeMatches(pattern, typ) {
			dst = g.collect(tenant, dst)
		}
	}
	return dst
}

// textWithin tells whether text stands between two stars of a pattern: then it
// has to be looked for.
func textWithin(pattern string) bool {
	first, last := strings.IndexByte(pattern, '*'), strings.LastIndexByte(pattern, '*')
	return first < last && strings.Trim(pattern[first+1:last], "*") != ""
}
