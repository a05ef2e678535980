//! What of GitHub only its GraphQL has: the queries, in its words.

/// A list that is asked for by a query.
#[derive(Debug)]
pub(in crate::forge) struct Query {
    /// The query.
    pub(in crate::forge) text: &'static str,
    /// Where the list is in its data.
    pub(in crate::forge) at: &'static str,
    /// A list within each entry: its field, the kind that its entries are of, and what asks for more of it.
    pub(in crate::forge) inner: Option<(&'static str, &'static str, Option<&'static Query>)>,
}

/// Who wrote something.
macro_rules! by {
    () => {
        "{ __typename login url }"
    };
}

/// A comment of a discussion.
macro_rules! comment {
    () => {
        concat!(
            "id databaseId url body createdAt updatedAt lastEditedAt deletedAt authorAssociation isAnswer isMinimized \
             minimizedReason upvoteCount replyTo { id } author ",
            by!()
        )
    };
}

macro_rules! replies {
    ($first:literal) => {
        concat!("replies(first: ", $first, ") { pageInfo { hasNextPage endCursor } nodes { ", comment!(), " } }")
    };
}

pub(super) static DISCUSSIONS: Query = Query {
    text: concat!(
        "query Discussions($owner: String!, $name: String!, $after: String, $order: DiscussionOrder!) { \
         repository(owner: $owner, name: $name) { discussions(first: 20, after: $after, orderBy: $order) { totalCount \
         pageInfo { hasNextPage endCursor } nodes { id databaseId number title url body createdAt updatedAt lastEditedAt \
         closed closedAt stateReason locked activeLockReason isAnswered answerChosenAt upvoteCount authorAssociation \
         author ",
        by!(),
        " answerChosenBy ",
        by!(),
        " answer { id databaseId } category { id name slug emoji isAnswerable } labels(first: 50) { nodes { name color } } \
         poll { question totalVoteCount options(first: 20) { nodes { option totalVoteCount } } } \
         comments(first: 20) { pageInfo { hasNextPage endCursor } nodes { ",
        comment!(),
        " ",
        replies!(20),
        " } } } } } }"
    ),
    at: "/repository/discussions",
    inner: Some(("comments", "discussion_comments", None)),
};

pub(super) static DISCUSSION_COMMENTS: Query = Query {
    text: concat!(
        "query DiscussionComments($id: ID!, $after: String) { node(id: $id) { ... on Discussion { \
         comments(first: 50, after: $after) { pageInfo { hasNextPage endCursor } nodes { ",
        comment!(),
        " ",
        replies!(50),
        " } } } } }"
    ),
    at: "/node/comments",
    inner: Some(("replies", "discussion_comments", Some(&REPLIES))),
};

static REPLIES: Query = Query {
    text: concat!(
        "query Replies($id: ID!, $after: String) { node(id: $id) { ... on DiscussionComment { \
         replies(first: 100, after: $after) { pageInfo { hasNextPage endCursor } nodes { ",
        comment!(),
        " } } } } }"
    ),
    at: "/node/replies",
    inner: None,
};

pub(super) static PROJECTS: Query = Query {
    text: concat!(
        "query Projects($login: String!, $after: String, $order: ProjectV2Order!) { repositoryOwner(login: $login) { \
         ... on ProjectV2Owner { projectsV2(first: 20, after: $after, orderBy: $order) { totalCount \
         pageInfo { hasNextPage endCursor } nodes { id fullDatabaseId number title url shortDescription readme public closed \
         closedAt template createdAt updatedAt creator ",
        by!(),
        " items(first: 1) { totalCount } repositories(first: 50) { nodes { nameWithOwner } } fields(first: 50) { nodes { \
         __typename ... on ProjectV2FieldCommon { id name dataType } ... on ProjectV2SingleSelectField { options { id name color \
         description } } ... on ProjectV2IterationField { configuration { duration startDay iterations { id title startDate \
         duration } completedIterations { id title startDate duration } } } } } views(first: 50) { nodes { id number name layout \
         filter } } workflows(first: 50) { nodes { id name enabled } } statusUpdates(first: 50) { nodes { id body status startDate \
         targetDate createdAt updatedAt } } } } } } }"
    ),
    at: "/repositoryOwner/projectsV2",
    inner: None,
};

pub(super) static PROJECT_ITEMS: Query = Query {
    text: concat!(
        "query ProjectItems($id: ID!, $after: String) { node(id: $id) { ... on ProjectV2 { items(first: 50, after: $after) { \
         pageInfo { hasNextPage endCursor } nodes { id fullDatabaseId type isArchived createdAt updatedAt creator ",
        by!(),
        " content { __typename ... on DraftIssue { id title body createdAt updatedAt creator ",
        by!(),
        " } ... on Issue { id number title url repository { nameWithOwner } } ... on PullRequest { id number title url \
         repository { nameWithOwner } } } fieldValues(first: 50) { nodes { __typename ... on ProjectV2ItemFieldTextValue { \
         text field { ...called } } ... on ProjectV2ItemFieldNumberValue { number field { ...called } } \
         ... on ProjectV2ItemFieldDateValue { date field { ...called } } ... on ProjectV2ItemFieldSingleSelectValue { name \
         optionId field { ...called } } ... on ProjectV2ItemFieldIterationValue { title startDate duration field { ...called } } \
         ... on ProjectV2ItemFieldMilestoneValue { milestone { title } field { ...called } } \
         ... on ProjectV2ItemFieldLabelValue { labels(first: 20) { nodes { name } } field { ...called } } \
         ... on ProjectV2ItemFieldUserValue { users(first: 20) { nodes { login } } field { ...called } } \
         ... on ProjectV2ItemFieldRepositoryValue { repository { nameWithOwner } field { ...called } } } } } } } } } \
         fragment called on ProjectV2FieldConfiguration { ... on ProjectV2FieldCommon { name } }"
    ),
    at: "/node/items",
    inner: None,
};
