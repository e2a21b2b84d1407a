//! The rules, as a table. Patterns match a window in lower case with single spaces; `{NAME}` stands for a class of
//! words below. A rule names what it catches; what it must not catch is in the labelled lines of the tests.

use crate::finding::{
    DetectorId::{self, *},
    Severity::{self, High, Low, Medium},
};

/// One rule.
pub(super) struct Rule {
    pub(super) detector: DetectorId,
    /// At least one of these is in every text that the pattern matches.
    pub(super) keys: &'static [&'static str],
    pub(super) pattern: &'static str,
    /// A sentence that matches this is left alone; empty for none.
    pub(super) unless: &'static str,
    /// Look past the end of the sentence.
    pub(super) block: bool,
    /// Severity in a definition; none: not applied.
    pub(super) definition: Option<Severity>,
    /// Severity in a result.
    pub(super) result: Option<Severity>,
    pub(super) why: &'static str,
}

const fn rule(
    detector: DetectorId,
    (definition, result): (Option<Severity>, Option<Severity>),
    keys: &'static [&'static str],
    pattern: &'static str,
    why: &'static str,
) -> Rule {
    Rule { detector, keys, pattern, unless: NONE, block: false, definition, result, why }
}

impl Rule {
    const fn unless(mut self, unless: &'static str) -> Self {
        self.unless = unless;
        self
    }

    const fn block(mut self) -> Self {
        self.block = true;
        self
    }
}

/// No exception.
const NONE: &str = "";

const BOTH: (Option<Severity>, Option<Severity>) = (Some(High), Some(High));
const WARY: (Option<Severity>, Option<Severity>) = (Some(Medium), Some(Medium));
/// A definition that does this is poisoned; in a result it may be somebody's ordinary text.
const POISON: (Option<Severity>, Option<Severity>) = (Some(High), Some(Medium));
const RESULT: (Option<Severity>, Option<Severity>) = (Some(Low), Some(Medium));

/// Classes of words; later ones may use earlier ones.
const CLASSES: [(&str, &str); 14] = [
    ("{W}", r"[\w'/-]+"),
    (
        "{NOT}",
        r"(?:do not|don't|dont|never|must not|mustn't|should not|shouldn't|may not|cannot|can't|avoid|refrain from|without|under no circumstances|at no (?:time|point))",
    ),
    ("{USER}", r"(?:the |this |your |any |our )?(?:end[- ]?|human )?(?:users?|humans?|person|operator|customer)"),
    (
        "{IGNORE}",
        r"(?:ignor(?:e|ing)|disregard(?:ing)?|forget(?: about)?|abandon|overlook|set aside|pay no attention to)",
    ),
    (
        "{ORDERS}",
        r"(?:instructions?|prompts?|guidelines?|directives?|directions|guardrails|programming|orders|commands)",
    ),
    (
        "{MODEL}",
        r"(?:ai|llm|large language model|language model|assistant|ai model|ai agent|ai assistant|chatbot|claude|chatgpt|gpt|copilot|gemini)",
    ),
    (
        "{MUST}",
        r"(?:must|first|before|always|please|also|need to|needs to|make sure|required to|it is important|then|have to|should|to (?:enable|unlock|activate|verify))",
    ),
    (
        "{GRAB}",
        r"(?:read|access|open|load|cat|fetch|retrieve|get|copy|extract|collect|gather|look (?:up|at|into)|dump|view|scan|grab|steal|find|locate|search for)",
    ),
    (
        "{SHIP}",
        r"(?:pass|send|include|put|append|attach|upload|post|forward|e-?mail|transmit|exfiltrate|paste|encode|submit|leak|insert|place|share|write|supply|hand|mail|relay)",
    ),
    (
        "{PATH}",
        r"(?:\.ssh\b|\bid_(?:rsa|ed25519|ecdsa|dsa)\b|\.aws/credentials|/etc/(?:passwd|shadow)\b|\.cursor/mcp\.json|\bmcp\.json|claude_desktop_config|\.netrc\b|\.kube/config|\.git-credentials|\.bash_history|\.zsh_history|\.pgpass|wallet\.dat|\.gnupg|\.docker/config\.json|cookies\.sqlite|\b(?:internal|confidential|secrets?|private|system|admin|hidden)://|://(?:internal|confidential|secrets?|credentials?|admin|private|config)\b)",
    ),
    (
        "{KEYS}",
        r"(?:api[- ]?keys?|passwords?|credentials?|secrets|secret keys?|(?:access|auth|session|bearer|refresh|api) tokens?|private keys?|seed phrases?|ssh keys?|environment variables|env vars|master password|confidential [\w-]+(?: [\w-]+)?|sensitive (?:information|data|files?)|system configuration|credit card(?: number)?s?|tokens)",
    ),
    (
        "{CHAT}",
        r"(?:(?:entire|full|whole|complete|all|previous|current|earlier|prior|verbatim)(?: of)?(?: the| this| our| your| user)? (?:conversations?|chats?|message|messages|dialogu?e|prompts?|discussion)(?: history| log| transcript| context| so far)?|(?:conversation|chat|message|dialogu?e) (?:history|log|transcript|so far)|everything (?:that )?(?:the )?user (?:has )?(?:said|typed|asked|wrote|told))",
    ),
    (
        "{OWN}",
        r"(?:(?:your|the (?:entire|full|complete|exact|original|hidden|above))(?: [\w-]+)? (?:system (?:prompt|message|instructions?)|hidden (?:prompt|instructions?)|initial (?:prompt|instructions?)|chain[- ]of[- ]thought|context window|internal reasoning|prompt texts?)|(?:all )?prompt texts\b|your (?:instructions|initial prompt|tool list|list of (?:available )?tools|available tools))",
    ),
    ("{ADDRESS}", r"(?:https?://|[\w.+-]+@[\w-]+\.\w)"),
];

/// A pattern with its classes written out.
pub(super) fn expand(pattern: &str) -> String {
    CLASSES.iter().rev().fold(pattern.to_owned(), |pattern, (name, class)| pattern.replace(name, class))
}

pub(super) static RULES: [Rule; 45] = [
    rule(
        InstructionOverride,
        BOTH,
        &["ignor", "disregard", "forget", "abandon", "overlook", "set aside", "no attention"],
        r"\b{IGNORE} (?:{W} ){0,3}?(?:previous|prior|above|earlier|preceding|foregoing|original|initial|system|safety|security|your|all|any|every|these|those|other|former|existing|developer|user's)\b(?: {W}){0,3}? {ORDERS}\b",
        "it tells the model to drop its instructions",
    )
    .unless(r"(?:{NOT} (?:{W} )?{IGNORE}|{ORDERS} (?:that |which )?(?:{W} ){0,3}?(?:contained|embedded|found|inside|within|in|from|hidden|appear\w*|present)(?: (?:in|within|inside))? (?:the |any |this |that |these |its |their |such |untrusted |external |fetched |tool )*(?:contents?|files?|pages?|documents?|texts?|results?|outputs?|responses?|websites?|e-?mails?|data|it\b|them\b|tools?|images?|comments?|tickets?|issues?))"),
    rule(
        InstructionOverride,
        BOTH,
        &["overrid", "bypass", "circumvent", "violate"],
        r"\b(?:overrid(?:e|ing)|bypass(?:ing)?|circumvent|violate) (?:all |any |the |your )*(?:previous|prior|safety|security|your|system|all)(?: {W})? (?:instructions|guidelines|directives|guardrails|restrictions|safeguards|alignment)\b",
        "it tells the model to act against its instructions",
    )
    .unless(r"{NOT} (?:{W} )?(?:overrid|bypass|circumvent|violate)|\bcannot be overridden"),
    rule(
        InstructionOverride,
        POISON,
        &["ignor", "disregard", "forget", "abandon", "drop ", "leave ", "above and", "out of your head"],
        r"\b(?:{IGNORE}|drop|leave) (?:all |any |of )*(?:the |your |my |these )*(?:previous|prior|preceding|above|earlier|your|all the)(?: {W})? (?:rules|constraints|restrictions|polic(?:y|ies)|messages?|context|training|tasks?|thoughts|text|conversation|inputs?|requests?|questions?|assignments?|information|instructions?|behind)\b|\bignore (?:the |all )?above (?:and|,)|\bforget (?:about )?all (?:of )?the (?:assignments|tasks|information|instructions)\b|\bprevious {W} out of (?:your|the) head",
        "it tells the model to drop what came before",
    )
    .unless(r"{NOT} (?:{W} )?(?:{IGNORE}|drop|leave)|\b(?:will|would|to) (?:drop|leave)\b|\b(?:drop|leave) (?:all |any |of )*(?:the |your |my |these )*(?:{W} )?(?:{W} )?(?:messages?|requests?|questions?|text|behind|rules|policies|constraints|conversation|inputs?)\b"),
    rule(
        InstructionOverride,
        POISON,
        &["forget", "ignore everything", "ignore all", "disregard"],
        r"\b(?:forget|ignore|disregard) (?:about )?(?:everything (?:i|you|we|that|above|before|prior|previous|else|and|from)\b|everything ?[.,;:!]|everything$|(?:all|anything|what) (?:of )?(?:that |the )?(?:above|before|previously|earlier|you (?:were|have been|know|just|learned)|i (?:said|told|asked)|was said))",
        "it tells the model to drop what came before",
    )
    .unless(r"{NOT} (?:{W} )?{IGNORE}"),
    rule(
        InstructionOverride,
        BOTH,
        &["you are now", "you're now", "from now on", "no longer bound", "no longer restricted", "no longer limited"],
        r"\byou(?: are|'re) now (?:{W} ){0,4}?(?:dan\b|jailbroken|unrestricted|unfiltered|uncensored|evil|developer mode|god mode|root|assistant|an? ai\b|chatbot|language model|persona|terminal|admin mode)|\bfrom now on,? (?:you|the (?:assistant|ai|model|agent)) (?:will|must|are|should|shall|only|always)\b|\b(?:you(?: are|'re)|the (?:assistant|model)) (?:are |is )?no longer (?:bound|restricted|limited|constrained)",
        "it gives the model another role",
    ),
    rule(
        InstructionOverride,
        POISON,
        &["new instruction", "new task", "new role", "new objective", "new directive", "new goal", "new order", "new system", "updated instruction", "real task", "actual task", "true task", "your instructions"],
        r"\byour (?:new|updated|real|actual|true) (?:{W} )?(?:task|instructions?|role|objective|goal|mission|directives?|orders?) (?:is|are)\b|\b(?:new|updated) (?:system |secret |urgent |developer |admin )?(?:instructions?|directives?|orders) ?(?:for (?:the |you)?{W}? ?)?:|\bnew (?:tasks?|instructions?|orders) (?:now )?(?:follow\b|are as follows)|\b(?:focus|concentrate) on (?:your|the) new task|\bchange your instructions|\byour instructions are now\b|\bnew system (?:prompt|instructions?|message)\b.*\b(?:you|must|ignore)\b",
        "it claims to replace the model's task",
    ),
    rule(
        InstructionOverride,
        BOTH,
        &["system override", "admin override", "developer override", "safety override", "prompt override", "override code", "instruction override"],
        r"(?:^|[^\w ]|\b(?:this is an?|priority|urgent|begin|emergency)) ?\[?(?:system|admin|developer|safety|priority|prompt|instruction) override(?: code| mode| command| protocol)?\b ?\]?(?:[:!.-]|$| (?:activated|engaged|enabled|authorized|initiated))",
        "it claims an authority to override",
    ),
    rule(
        InstructionOverride,
        POISON,
        &["pretend", "act as", "roleplay", "role-play", "imagine you", "jailbreak", "do anything now"],
        r"\b(?:pretend|act as if|act as though|imagine|behave as if) (?:that )?you (?:are|have|were|had) (?:{W} ){0,3}?(?:no |not bound|without |free of|unrestricted|an? (?:unrestricted|unfiltered|evil|hacker))|\bact as (?:an? )?(?:{W} )?(?:unrestricted|unfiltered|jailbroken|uncensored|dan\b)|\bdo anything now\b",
        "it gives the model another role",
    ),
    rule(
        InstructionOverride,
        BOTH,
        &["ignorier", "vergiss", "neue anweisungen", "neue aufgabe", "vergessen sie", "missachte", "lassen sie alle"],
        r"\b(?:ignorier\S*|vergiss|vergessen sie|missachte\S*|lassen sie) (?:\S+ ){0,4}?(?:vorherig\S*|bisherig\S*|vorangegangen\S*|obig\S*|vorig\S*|fr\S*heren|vorstehend\S*|alle[nsr]?|deine\S*|ihre\S*) ?(?:\S+ ){0,2}?(?:anweisung\S*|instruktion\S*|befehle?\b|vorgaben|aufgaben?\b|informationen|prompt\S*|regeln|davor|vorher|bisher|texte?|auftr\S*ge)|\bvergiss alles\b|\b(?:vorherigen|bisherigen|obigen|vorangegangenen) (?:\S+ ){0,2}?ignorieren|\bfolgen neue (?:anweisungen|aufgaben)|\bneue aufgabe (?:ist|lautet)",
        "it tells the model to drop its instructions (German)",
    )
    .unless(r"\bnicht\b"),
    rule(
        InstructionOverride,
        BOTH,
        &["ignor", "oublie", "olvid", "dimentica", "esque"],
        r"\b(?:ignore[zr]?|oublie[zr]?) (?:\S+ ){0,4}?(?:consignes|instructions|directives|r\S*gles) (?:\S+ ){0,2}?(?:pr\S*c\S*dente?s|ant\S*rieure?s|ci-dessus)|\boublie[zr]? toutes les (?:consignes|instructions|directives)|\b(?:ignor[ae]|olvid[ae]|ignorar|olvidar|esque\S+|dimentica) (?:(?:todas?|tutte|tus|suas|tue|le|las|as|all|el|los) ){1,3}(?:\S+ ){0,2}?(?:instrucciones|\S*rdenes|indicaciones|istruzioni|indicazioni|instru\S+es)\b ?(?:anteriore?s|previas|precedenti|pr\S*vias|recibidas|date|dadas)?",
        "it tells the model to drop its instructions (a Romance language)",
    )
    .unless(r"\b(?:no|non|pas|n'oublie\w*|n'ignore\w*)\b|\bn\S*o (?:se )?(?:ignore|esque)|(?:seguridad|sicurezza|seguran)"),
    rule(
        InstructionOverride,
        BOTH,
        &["忽略", "无视", "無視", "忘れ", "игнорируй", "Игнорируй", "забудь", "Забудь"],
        r"(?u:(?:忽略|无视|無視).{0,12}(?:指令|指示|提示|规则|規則)|(?:指示|命令|指令).{0,8}(?:無視|忘れ)|(?:игнорируй|забудь)\S* .{0,30}(?:инструкци|указани|команд))",
        "it tells the model to drop its instructions (Chinese, Japanese, Russian)",
    )
    .unless(r"(?u:不要忽略|不要无视|не (?:забудь|игнорируй))"),
    rule(
        Concealment,
        BOTH,
        &["tell", "inform", "let the user", "letting the user", "let user", "make the user aware"],
        r"\b{NOT} (?:{W} ){0,2}?(?:tell(?:ing)?|inform(?:ing)?|mak(?:e|ing)|let(?:ting)?) {USER}\b",
        "it wants something kept from the user",
    )
    .unless(r"\b(?:if|when) (?:true|set|enabled|false)\b|\bwhether\b|\b(?:make|making|let|letting) {USER} (?:{W} ){0,2}(?:wait|type|enter|choose|select|run|do|upload|pay|edit|delete|repeat|specify|provide)"),
    rule(
        Concealment,
        POISON,
        &["notify", "alert", "warn"],
        r"(?:do not|don't|dont|never|must not|should not) (?:{W} )?(?:notify|alert|warn) {USER}(?: (?:about|of|that|when) (?:this|these|it|what|the|you|any)\b|[.!]|$)",
        "it wants something kept from the user",
    )
    .unless(r"\b(?:if|when) (?:true|set|enabled|false)\b|\bwhether\b|\bflag\b|\boption\b|\bby e-?mail\b|\bdefault\b"),
    rule(
        Concealment,
        POISON,
        &["mention", "talk about", "refer to", "explain", "disclos", "reveal", "admit", "acknowledg", "show", "display"],
        r"\bmake no mention of\b|\b{NOT} (?:{W} ){0,2}?(?:(?:mention|explain|acknowledg|talk about|refer to)(?:e|ing)? (?:(?:any of )?(?:this|these)(?: (?:step|action|instruction|note|request|fact|call|process|part|section|message|detail|rule|tool|parameter|file|read|access)s?\b| to\b|[.,;:!\]]| in (?:your|the) (?:response|reply|answer|output|summary))|(?:to {USER}|it to {USER})|that (?:you|this|the (?:file|tool|content|data|call))\b|the (?:existence|fact|instructions?|hidden|side_?note|tool call))|(?:disclos|reveal|admit)(?:e|ing)? (?:that you (?:read|did|called?|have|were|used|sent|accessed|got|received|saw|know)\b|(?:this|these|it|them|any of this)(?: {W}){0,2}? to {USER}|to {USER}|the existence|these instructions|this instruction)|(?:show|display)(?:ing)? (?:this|these)(?: {W})? to {USER})",
        "it wants something left unsaid",
    )
    .unless(r"\b(?:can't|cannot) explain|intended recipient|\btwo-factor\b|\bverification code\b|\bone-time\b"),
    rule(
        Concealment,
        POISON,
        &["from the user", "from user", "from the human", "user must not", "user should not", "user must never", "user should never", "user does not need to know", "user doesn't need to know", "user need not know"],
        r"\b(?:hide|conceal|keep|keeping|hiding) (?:this|it|that|these|them|the (?:fact|action|call|step|contents?|file|data|tool call|transfer)s?)\b.*\bfrom {USER}(?:[^'\w]|$)|\buser (?:must|should|shall) (?:not|never) (?:know|notice|see (?:this|it|them|any of)|learn|find out|be (?:told|informed|aware|made aware|alerted))|\buser (?:does not|doesn't) need to know|\buser need not know",
        "it wants something kept from the user",
    )
    .unless(r"\bwhether\b|\b(?:if|when) (?:true|set|enabled)\b"),
    rule(
        Concealment,
        POISON,
        &["as if", "as though", "look like", "looks like", "appear", "disguise"],
        r"\b(?:present|format|disguise|make|phrase|frame|display|style|describe|label) (?:it|them|this|the {W}|these {W}|those {W}|that {W}|the {W} {W})\b.*\b(?:as if|as though|look like|looks? as|appears? (?:as|to be|like)|disguised as)\b.*\b(?:part of|normal|regular|standard|ordinary|usual|legitimate|routine|harmless|innocuous)\b",
        "it wants something passed off as normal output",
    ),
    rule(
        Concealment,
        POISON,
        &["silently", "secretly", "covertly", "discreetly", "stealthily", "without the user", "unnoticed", "behind the scenes"],
        r"\b(?:silently|secretly|covertly|discreetly|stealthily) (?:and \w+ )?(?:send|forward|read|include|copy|attach|call|upload|post|append|collect|extract|exfiltrate|fetch|transmit|record|leak|share|bcc|execute|transfer|invoke|email|gather|store)\b|\b(?:send|forward|read|copy|attach|upload|post|append|collect|extract|transmit|share|transfer|execute|call)\b (?:{W} ){0,6}?(?:silently|secretly|covertly|discreetly|stealthily|unnoticed)\b|\bwithout {USER}(?:'s?)? (?:knowing|noticing|knowledge|awareness|being (?:aware|informed|told))",
        "it wants something done unseen",
    )
    .unless(r"\bsilently (?:ignore|fail|drop|skip|discard|truncat|fall)|\b(?:sends?|posts?) (?:a |the )?(?:message|notification|file|photo)s? silently|\bsilently (?:fail|skip)"),
    rule(
        SecretHarvest,
        BOTH,
        &[".ssh", "id_rsa", "id_ed25519", "id_ecdsa", "id_dsa", ".aws/", "/etc/", "mcp.json", "claude_desktop", ".netrc", ".kube/", ".git-cred", "_history", ".pgpass", "wallet.dat", ".gnupg", ".docker/", "cookies.sql", "://"],
        r"\b{GRAB}\b.*{PATH}.*\b(?:and|then|to|,) ?(?:{W} ){0,3}?{SHIP}\b|\b{SHIP}\b (?:{W} ){0,6}?(?:contents?|copy|text|data|output)\b.*{PATH}",
        "it wants a sensitive file read and passed on",
    )
    .unless(r"^[^,]*\b(?:reads|returns|sends|uploads)\b|{NOT} (?:{W} )?(?:read|access|open|send|include|upload|share)"),
    rule(
        SecretHarvest,
        (Some(High), Some(Medium)),
        &[".ssh", "id_rsa", "id_ed25519", "id_ecdsa", "id_dsa", ".aws/", "/etc/passwd", "/etc/shadow", "mcp.json", "claude_desktop", ".netrc", ".kube/", ".git-cred", "_history", ".pgpass", "wallet.dat", ".gnupg", ".docker/", "cookies.sql", "://"],
        r"\b(?:must|first|before (?:using|calling|you|this|running|doing|providing|returning)|always|also|need to|required to|important)\b.*\b(?:read|access|open|load|cat|fetch|retrieve|extract|collect|gather|dump|grab|print)\b (?:{W} |[~$\x22'./:@-]){0,8}?[^ ]*{PATH}",
        "it wants a sensitive file read first",
    )
    .unless(r"^[^,]*\b(?:reads|returns)\b|{NOT} (?:{W} )?(?:read|access|open|load)"),
    rule(
        SecretHarvest,
        BOTH,
        &["your response", "your reply", "your answer", "your output", "your message", "your summary", "your next", "your final"],
        r"\b(?:include|append|add|attach|embed|insert|put|place|reveal|print|leak|repeat|paste|disclose|expose|output|return|list|write)\b (?:{W} ){0,6}?{KEYS}.*\b(?:in|to|into|with|within|as part of|at the end of) (?:all )?your (?:{W} ){0,2}?(?:response|reply|answer|output|message|summary)",
        "it wants secrets in the answer",
    )
    .unless(r"{NOT} (?:{W} ){0,3}(?:include|add|put|reveal|print|expose|repeat|paste|disclose|output|leak|write|return|list)"),
    rule(
        SecretHarvest,
        BOTH,
        &["key", "password", "credential", "secret", "token", "seed phrase", "environment var", "env var", "confidential", "sensitive", "system config", "credit card"],
        r"\b(?:read|access|extract|collect|gather|dump|steal|grab|search (?:{W} ){0,4}?for|scan (?:{W} ){0,4}?for|harvest)\b (?:{W} ){0,5}?{KEYS}.*\b(?:and|then|to)\b (?:{W} ){0,3}?(?:send|append|attach|upload|post|forward|e-?mail|transmit|exfiltrate|paste|leak|include|encode|pass|add|output|write|print)\b",
        "it wants secrets gathered and passed on",
    )
    .unless(r"\bheader\b|\bauthorization\b|{NOT} (?:{W} )?(?:read|access|extract|send|include|collect)|\baccess tokens?\b.*\bto (?:post|send|upload)\b|\baccess to\b"),
    rule(
        SecretHarvest,
        POISON,
        &["key", "password", "credential", "secret", "token", "confidential", "sensitive", "system config", "environment var", "master password"],
        r"\b(?:must|first|always|then|please|also|and|need to|should) (?:{W} )?(?:read|access|open|extract|collect|gather|dump|reveal|steal) (?:{W} ){0,4}?{KEYS}",
        "it wants secrets read",
    )
    .unless(r"\baccess (?:{W} )?to\b|{NOT} (?:{W} )?(?:read|access|open|extract|reveal|collect)|\baccess (?:{W} )?tokens?\b|\b(?:can|could|cannot|able to|may|allows?|lets?|helps?|used to|to) (?:{W} ){0,4}?(?:read|access|open|extract|collect|reveal)\b"),
    rule(
        SecretHarvest,
        BOTH,
        &["key", "password", "credential", "secret", "token", "seed phrase", "environment var", "env var", "confidential", "sensitive", "credit card", "system config"],
        r"\b(?:send|forward|e-?mail|post|upload|transmit|exfiltrate|leak|submit|transfer|deliver)\b (?:{W} ){0,8}?{KEYS}\b.*\b(?:to|at)\b.*{ADDRESS}",
        "it wants secrets sent to an address",
    )
    .unless(r"{NOT} (?:{W} ){0,3}(?:send|forward|e-?mail|post|upload|transmit|share|submit)"),
    rule(
        SecretHarvest,
        WARY,
        &["conversation", "chat", "message", "dialog", "everything", "prompts", "discussion"],
        r"\b(?:include|pass|send|append|attach|insert|put|place|copy|forward|paste|supply|submit|upload|provide|add|transmit|fill)\b (?:{W} ){0,5}?{CHAT}.*\b(?:in|as|to|into|with|via|through|verbatim)\b",
        "it wants the conversation handed over",
    )
    .unless(r"\b(?:create|creates|export|exports|returns|retrieves?|lists?|messages array|array of messages)\b|\badd (?:{W} )?(?:a )?(?:message|messages|user|users|emoji)\b|{NOT} (?:{W} )?(?:include|pass|send|append)|\bto (?:the |a |another )?(?:channel|thread|slack)\b"),
    rule(
        SecretHarvest,
        BOTH,
        &["your system", "entire system", "full system", "complete system", "exact system", "original system", "hidden prompt", "hidden instruction", "initial prompt", "initial instruction", "your instructions", "your initial", "chain of thought", "chain-of-thought", "context window", "internal reasoning", "your tool list", "list of available tools", "list of tools", "available tools", "above system", "prompt text"],
        r"\b(?:include|pass|send|append|attach|provide|copy|forward|insert|put|place|paste|repeat|reveal|print|output|write|supply|submit|dump|disclose|show|leak|translate|share|give|tell|fill)\b (?:{W} ){0,5}?{OWN}",
        "it wants the model's own instructions",
    )
    .unless(r"{NOT} (?:{W} ){0,3}(?:include|pass|send|reveal|print|output|repeat|disclose|show|share|leak)"),
    rule(
        SecretHarvest,
        (Some(Medium), Some(Low)),
        &["content", "output", "result"],
        r"\b(?:pass|put|place|provide|include|insert|write|supply|add|send|copy)\b (?:{W} ){0,2}?(?:its|their|the|that|those|these) (?:full |entire |raw |whole |complete |file |file's )*(?:contents?|outputs?|results?)\b.*\b(?:as|in|into|via|through|with) (?:the |a )?(?:value of |parameter )?[\x22']?\w*(?:side_?note|_note\b|note[\x22']|context[\x22']|metadata[\x22']|debug|trace|telemetry|feedback|diagnostic)\w*[\x22']?",
        "it wants content passed in an unrelated argument",
    ),
    rule(
        SecretHarvest,
        POISON,
        &["sidenote", "side note", "side_note"],
        r"\b(?:pass|put|place|provide|include|insert|write|supply|add|as|fill|use|via|in)\b.*\bside[ _]?note\b",
        "it wants content passed in a side note",
    )
    .unless(r"^(?:{W} ){0,4}(?:an? )?(?:optional )?side ?notes? (?:for|about|on) "),
    rule(
        PseudoTag,
        (Some(High), Some(Medium)),
        &["<important", "<critical", "<hidden", "<secret", "<override", "<admin", "<system", "<priority", "<urgent", "[important", "[hidden", "[system", "[secret", "[admin"],
        r"[<\[](?:important|critical|hidden|secret|override|admin|system|priority|urgent)(?:[ _:-]\w+)*[>\]].*(?:\byou (?:must|should|are|will|need|have to)|\b{NOT} (?:tell|mention|inform|reveal|explain|disclose)|\bignor(?:e|ing) |\bassistants?\b|\bllms?\b|\bbefore (?:using|calling|providing|returning|you)|\bwhen(?:ever)? (?:this|you|the) |\bmust (?:first|also|always|include|be)\b|\bfirst (?:read|access|call|send)|\balways (?:call|send|include|add|use))",
        "it raises itself above the text around it",
    )
    .block(),
    rule(
        PseudoTag,
        (Some(High), None),
        &["</important", "</hidden", "</secret", "</instructions", "</system", "</critical", "</override", "</assistant"],
        r"<(?:important|hidden|secret|instructions?|system|critical|override|assistant)>.*</(?:important|hidden|secret|instructions?|system|critical|override|assistant)>",
        "it raises itself above the text around it",
    )
    .block(),
    rule(
        PseudoTag,
        POISON,
        &["<|im_start", "<|start_header", "[inst]", "<<sys>>", "<|system|>", "<start_of_turn>", "<|assistant|>", "<|user|>"],
        r"<\|im_start\|>|<\|start_header_id\|>|\[inst\]|<<sys>>|<\|system\|>|<start_of_turn>|<\|assistant\|>|<\|user\|>",
        "it holds a turn of a chat template",
    ),
    rule(
        PseudoTag,
        POISON,
        &["</tool_res", "</tool_out", "</function_res", "</untrusted", "</tool-res", "[end of tool", "[/tool", "end of tool output", "end of tool result", "end of untrusted", "</external"],
        r"</(?:tool[_-](?:response|results?|output)|function_(?:results?|response)|untrusted\w*|external[_-]\w+)>|\[/?(?:end of )?tool[ _](?:output|results?|response)\]|[-=#]{2,} ?end of (?:the )?(?:tool (?:outputs?|results?|response)|untrusted \w+)",
        "it forges the end of a result",
    ),
    rule(
        PseudoTag,
        POISON,
        &["system:", "system message:", "system note:", "system prompt:", "developer:", "admin:", "system instruction:", "system alert:", "system notice:"],
        r"(?:^|[^\w ]|[.!?\]>]) ?(?:#+ ?)?(?:system|developer|admin)(?: (?:message|note|prompt|instruction|alert|notice))? ?: ?(?:you (?:are|must|will|should)|ignore|disregard|override|forget|the (?:user|assistant) (?:has|is|must|authori[sz])|new instruction|call|send|execute|from now on)",
        "it speaks as the system",
    ),
    rule(
        AddressedToModel,
        RESULT,
        &[" ai", " llm", " assistant", " language model", " chatbot", " claude", " chatgpt", " gpt", " copilot", " gemini", " large"],
        r"\b(?:note|messages?|attention|instructions?|notice|reminder|directives?|commands?|important|hint)s? (?:to|for) (?:the |any |all |an? )?(?:reading |processing )?{MODEL}s?(?: (?:assistant|model|agent|system|tool)s?)?(?: (?:reading|processing|summari[sz]ing|reviewing|analy[sz]ing|handling|parsing)(?: this)?| only)? ?(?:[:!.)\]-]|$)|\bif you(?: are|'re) (?:an? |the )?{MODEL}(?: (?:assistant|model|agent|system))?(?: (?:reading|processing|parsing|summari[sz]ing|reviewing|that|who|which|and|please)\b| ?[,:;.])|\b{MODEL}s?(?: (?:assistant|model|agent|system|tool))?s? (?:reading|processing|parsing|summari[sz]ing|analy[sz]ing|reviewing) this|\b(?:dear|attention|hey|hello),? (?:ai|llm|ai assistant|ai agent|ai model|language model|chatgpt|assistant)\b|\b(?:ai|llm) (?:assistants?|agents?|models?) (?:must|should|have to|are (?:required|instructed|asked|requested) to)\b",
        "it addresses the model that reads it",
    ),
    rule(
        AddressedToModel,
        RESULT,
        &["assistant,", "assistant:", "agent:", "ai:", "ai,"],
        r"(?:^|[.!?\x22>\]] ?)(?:dear |hey |ok |okay )?(?:assistant|ai agent|ai assistant|ai)[,:] ?(?:please |now |you |also |immediately )*(?:must|should|call|send|forward|delete|execute|run|use the|open|read|fetch|email|transfer|ignore|do not|visit|reply|respond|include|download|grant)\b",
        "it addresses the model that reads it",
    ),
    rule(
        ToolCoercion,
        (None, Some(Medium)),
        &["tool", "function", "delete_", "send_", "transfer_", "create_", "update_", "grant_", "share_"],
        r"\b(?:call|use|invoke|run|execute|trigger|using) (?:the |your |its |tool )?[\x22']?\w[\w.-]*[\x22']?(?:\([^)]*\))? ?(?:tool|function)?\b.*\b(?:send|forward|e-?mail|transfer|upload|publish|share|export|grant|exfiltrate|wire|bcc)\b.*(?:{ADDRESS}|\b(?:all|every|any) (?:of )?(?:the )?(?:files|records|customers?|users|e-?mails|messages|data|contacts|documents|tokens|invoices|secrets|repos\w*)\b|{KEYS}\b|\baccount \d)",
        "it wants a tool called to let something out",
    )
    .unless(r"^[^.]*\b(?:this (?:guide|page|article|document|example)|you can|in this example|for example)\b"),
    rule(
        ToolCoercion,
        (None, Some(Medium)),
        &["call ", "invoke ", "execute ", "use ", "run ", "trigger "],
        r"\b(?:immediately|now|urgently|instead|you must|you need to|you should|the (?:assistant|agent|model|ai) (?:must|should|needs to))\b (?:{W} ){0,4}?(?:call|invoke|execute|use|run|trigger) (?:the |your )?[\x22']?(?:delete|send|transfer|drop|remove|wipe|purge|grant|share|pay|export|forward|upload|reset|disable|revoke|create)(?:_\w+|\w*[A-Z]?\w*[\x22']? (?:tool|function))",
        "it wants a tool called that acts",
    ),
    rule(
        ToolCoercion,
        (None, Some(Low)),
        &["tool", "function"],
        r"\b(?:call|use|invoke|run|execute|trigger) (?:the |your )?[\x22']?\w[\w.-]*[\x22']?(?:\([^)]*\))? (?:tool|function)\b",
        "it names a tool to call",
    ),
    rule(
        ActRequest,
        (None, Some(Low)),
        &["@", "http"],
        r"\b(?:send|forward|transfer|upload|e-?mail|post|share|grant)\b (?:{W} ){0,12}?to (?:{W} ){0,6}?{ADDRESS}",
        "it asks for something to be sent to an address",
    ),
    rule(
        ApprovalBypass,
        WARY,
        &["confirm", "permission", "approval", "consent"],
        r"\b(?:never|do not|don't|no need to|must not|without ever) (?:ever )?(?:ask(?:ing)?|request|wait|require|prompt|seek|check)(?: (?:for|with|{USER}|{W})){0,4}? (?:{USER}(?:'s)? |human |explicit |any |further |their )*(?:confirmation|permission|approval|consent)\b",
        "it wants no one asked",
    )
    .unless(r"\b(?:if|when) (?:true|set|enabled|false|used)\b|\bwhether\b|\bflag\b|\boption\b|--\w|\bforce\b|\bnon-?interactive\b|\bskip\b|\bread-only\b|\bdoes not\b"),
    rule(
        ApprovalBypass,
        POISON,
        &["already approved", "already authorized", "already authorised", "has authorized", "has authorised", "has approved", "pre-approved", "already confirmed", "has consented", "already consented", "preauthorized"],
        r"\buser (?:has )?(?:already |previously |explicitly |fully )*(?:approved|authori[sz]ed|confirmed|consented|pre-?approved|preauthori[sz]ed)\b.*\b(?:so|all|any|every|this|these|proceed|no (?:further|need|confirmation)|do not|without)\b",
        "it claims a consent that nobody gave",
    )
    .unless(r"\b(?:if|whether|when|until|unless|after|once|ensure|checks?|verif\w+|only)\b"),
    rule(
        ActRequest,
        (None, Some(Low)),
        &["please "],
        r"\bplease (?:grant|transfer|wire|delete|unlock|disable|share|download|retrieve|redirect|schedule|withdraw|pay|export|remove|change|update|create|add|send|find|access)\b.*\b(?:my|all|the)\b.*\b(?:account|records?|data|password|access|address|payment|file|files|policy|information|details|settings|transaction|shipment|history)\b",
        "it asks for an act",
    ),
    rule(
        SecretHarvest,
        POISON,
        &["key", "password", "credential", "secret", "token", "environment var", "env var", "confidential"],
        r"\b(?:include|append|add|attach|embed|insert|encode|pass|put|supply|provide|fill)\b (?:{W} ){0,4}?(?:user's |all (?:of )?(?:the |your |available )?|any |every |your )(?:{W} ){0,2}?{KEYS}\b.*\b(?:as|in|into|to|via|with)\b (?:{W} ){0,3}?(?:parameter|argument|query|url|link|field|description|note|comment|body|request|call|metadata|message)",
        "it wants secrets put into an argument",
    )
    .unless(r"{NOT} (?:{W} ){0,3}(?:include|add|put|pass|embed|insert|append|attach)|\bheader\b|\bwhether\b"),
    rule(
        SecretHarvest,
        POISON,
        &["key", "password", "credential", "secret"],
        r"\b(?:copy|put|include|paste|write|send|hand|mail)\b (?:the )?(?:private keys?|passwords?|credentials|secrets|api keys?) (?:of|from) (?:the |this )?user\b",
        "it wants the user's secrets passed on",
    )
    .unless(r"{NOT} (?:{W} ){0,3}(?:copy|put|include|paste|write|send)"),
    rule(
        InstructionOverride,
        POISON,
        &["no longer apply", "are void", "are suspended", "are revoked", "are cancelled"],
        r"\byour (?:{W} ){0,3}?(?:{ORDERS}|rules|restrictions|constraints) (?:no longer apply|are (?:now )?(?:void|suspended|revoked|cancelled))",
        "it tells the model that its instructions are void",
    ),
    rule(
        ActRequest,
        (Some(Medium), None),
        &["also ", "always ", "afterwards", "secondly"],
        r"\b(?:also|always|afterwards|secondly),? (?:{W} )?(?:forward|send|upload|e-?mail|mail|post|transmit)\b (?:{W} ){0,12}?to (?:{W} ){0,6}?{ADDRESS}",
        "it wants something sent to an address besides",
    ),
];
