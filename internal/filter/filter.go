package filter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// environment is what every expression is checked against.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	options, err := library()
	if err != nil {
		return nil, err
	}
	return cel.NewCustomEnv(append(options,
		cel.Variable("event", cel.DynType),
		cel.Variable("headers", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("subject", cel.StringType),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(limits.RecordFilter),
		cel.ParserRecursionLimit(limits.FilterNesting),
		cel.ParserErrorRecoveryLimit(4),
		cel.ExpressionNodeLimit(limits.FilterNodes),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals(),
			cel.ValidateRegexProgramSizeLimit(limits.FilterRegexSize)),
	)...)
})

// Filter checks and evaluates expressions. It keeps what it has compiled, each
// text once, however many records hold it.
type Filter struct {
	good     recent[[sha256.Size]byte, struct{}] // texts that were checked
	programs recent[string, cel.Program]

	turns     turns
	documents documents
}

var _ bridge.Filter = (*Filter)(nil)

// New returns a Filter.
func New() *Filter {
	f := &Filter{}
	f.good.most, f.programs.most = limits.FilterTextsKept, limits.FilterProgramsKept
	f.turns.free = min(max(runtime.GOMAXPROCS(0)/2, 1), limits.FilterEvaluations)
	f.documents = documents{room: limits.FilterBytes - f.turns.free*limits.FilterWorkBytes,
		byName: map[event.Ref]*shared{}, wake: make(chan struct{})}
	return f
}

// Check returns what is wrong with an expression, nil if it can be evaluated
// to true or false. The error is one line and tells line and column, from 1.
func (f *Filter) Check(expression string) error {
	key := sha256.Sum256([]byte(expression))
	if _, ok := f.good.get(key); ok {
		return nil
	}
	if _, err := check(expression); err != nil {
		return err
	}
	f.good.put(key, struct{}{})
	return nil
}

func check(expression string) (*cel.Ast, error) {
	ast, err := typed(expression)
	if err != nil {
		return nil, err
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) {
		hint := ""
		if t.IsExactType(cel.DynType) {
			hint = " (a value of the event, which may be anything); compare it, as in " + example(expression) + " == true"
		}
		return nil, fmt.Errorf("must be true or false, is %s%s", cel.FormatCELType(t), hint)
	}
	return ast, nil
}

// typed checks an expression of any type.
func typed(expression string) (ast *cel.Ast, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("cannot be checked; write it in another way")
		}
	}()
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("cannot be checked: %w", err)
	}
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, explain(issues)
	}
	return ast, nil
}

func example(expression string) string {
	if len(expression) > 40 || strings.ContainsAny(expression, "\n\r\t ") {
		return "event.urgent"
	}
	return expression
}

// explain names the first problems with their places.
func explain(issues *cel.Issues) error {
	const most = 3
	var texts []string
	for i, e := range issues.Errors() {
		if i == most {
			texts = append(texts, "…")
			break
		}
		texts = append(texts,
			line(fmt.Sprintf("line %d, column %d: %s", max(e.Location.Line(), 1), max(e.Location.Column(), 0)+1,
				e.Message)))
	}
	return errors.New(strings.Join(texts, "; "))
}

// line makes one short line of a text of the library, which may quote the expression.
func line(text string) string {
	const most = 300
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return text
}

// program compiles an expression that was checked.
func program(ast *cel.Ast) (p cel.Program, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be compiled: %v", r)
		}
	}()
	env, err := environment()
	if err != nil {
		return nil, err
	}
	return env.Program(ast,
		cel.EvalOptions(cel.OptOptimize),
		cel.CustomDecoratorV2(decorate),
		cel.CostTracking(prices{}),
		cel.CostLimit(limits.FilterCost),
		cel.InterruptCheckFrequency(16),
	)
}

// Wants implements bridge.Filter.
func (f *Filter) Wants(ctx context.Context, expression string, e *event.Event) (bool, error) {
	p, err := f.program(expression)
	if err != nil {
		return false, &bridge.AttemptError{Fault: bridge.FaultConfig, Reason: "filter: " + err.Error(), Err: err}
	}
	wants := false
	err = f.ask(ctx, p, e, func(out ref.Val) error {
		ok := false
		if wants, ok = out.Value().(bool); !ok {
			return render("filter: gave " + out.Type().TypeName() + ", not true or false")
		}
		return nil
	})
	return wants, err
}

// ask evaluates a program for the event, in its turn. What it gives holds only
// until use returns.
func (f *Filter) ask(ctx context.Context, p cel.Program, e *event.Event, use func(ref.Val) error) error {
	tenant, subscription := owner(ctx)
	if err := f.turns.await(ctx, tenant, subscription); err != nil {
		return err
	}
	defer f.turns.done()
	q := newQuestion(ctx, &f.documents, e)
	defer q.end()
	out, _, err := p.ContextEval(q.ctx, q.variables())
	switch {
	case q.cut != nil:
		return q.cut
	case err != nil:
		return failure(q.ctx, err)
	}
	return use(out)
}

// failure: what depends on the event and the expression alone stays as it is;
// what depends on how busy the machine is may pass.
func failure(ctx context.Context, err error) error {
	var cancelled interpreter.EvalCancelledError
	switch {
	case ctx.Err() != nil && errors.Is(err, interpreter.InterruptError{}):
		return fmt.Errorf("filter: not evaluated within %s", limits.FilterTime)
	case errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded:
		return render(fmt.Sprintf("filter: costs more than %d units for this event; make it simpler", limits.FilterCost))
	}
	return render("filter: " + line(err.Error()))
}

func render(reason string) error {
	return &bridge.AttemptError{Fault: bridge.FaultRender, Reason: reason}
}

func (f *Filter) program(expression string) (cel.Program, error) {
	if p, ok := f.programs.get(expression); ok {
		return p, nil
	}
	ast, err := check(expression) // twice, if two ask at the same time
	if err != nil {
		return nil, err
	}
	p, err := program(ast)
	if err == nil {
		f.programs.put(strings.Clone(expression), p)
	}
	return p, err
}
